% How a clip of mattes changes over time, from the definitions, in double precision and core Octave.
% CHANGES(P, T, TRIMAP, U, V, COUNT) takes COUNT frames side by side: 8-bit greys as doubles, and
% the motion to the next frame to the right (U) and down (V), 1e10 where it is not known. It gives a
% row of means over the clip: dtSSD by RVM (the first frame counts as 0), by TCVOM (the last frame
% counts as 0) and by DVM (of the pairs), DVM's without trimaps, and TCVOM's MESSDdt / 1000.
function row = changes(p, t, trimap, u, v, count)
  p = cut(p / 255, count);
  t = cut(t / 255, count);
  trimap = cut(trimap, count);
  u = cut(u, count - 1);
  v = cut(v, count - 1);
  sums = zeros(1, 5);
  for k = 1:count - 1
    apart = (p(:, :, k + 1) - p(:, :, k)) - (t(:, :, k + 1) - t(:, :, k));
    grey = trimap(:, :, k);
    soft = t(:, :, k) > 0 & t(:, :, k) < 1;
    sums(1) += 100 * sqrt(mean(apart(:) .^ 2));
    sums(2) += norm(apart(grey > 0 & grey < 255));
    sums(3) += norm(apart(grey == 128));
    sums(4) += norm(apart(soft));
    sums(5) += along(p(:, :, k:k + 1), t(:, :, k:k + 1), grey, u(:, :, k), v(:, :, k)) / 1000;
  end
  row = sums ./ [count, count, count - 1, count - 1, count];
end

function planes = cut(wide, count)
  planes = reshape(wide, size(wide, 1), [], count);
end

% Differences of squared errors along the motion, summed; both mattes are 0 outside.
function total = along(p, t, grey, u, v)
  known = grey > 0 & grey < 255 & abs(u) < 1e9 & abs(v) < 1e9;
  [x, y] = meshgrid(1:columns(u), 1:rows(u));
  x += u;
  y += v;
  now = (p(:, :, 1) - t(:, :, 1)) .^ 2;
  next = (between(p(:, :, 2), x, y) - between(t(:, :, 2), x, y)) .^ 2;
  total = sum(abs(now(known) - next(known)));
end

function values = between(a, x, y)
  framed = zeros(size(a) + 4);
  framed(3:end - 2, 3:end - 2) = a;
  values = interp2(framed, x + 2, y + 2, "linear", 0);
end
