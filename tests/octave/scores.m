% The four matting metrics from their definitions, in double precision and core Octave alone.
% SCORES(P, T, TRIMAP) takes 8-bit greys as doubles and gives a row: scored pixels, SAD / 1000,
% MSE, Grad / 1000, Conn / 1000 where an empty threshold counts ("dim"), and where it is skipped
% ("a2u").
function row = scores(p, t, trimap)
  region = trimap == 128;
  if ~any(region(:))
    row = zeros(1, 6);
    return
  end
  off = (p - t) / 255;
  sad = sum(abs(off(region))) / 1000;
  mse = mean(off(region) .^ 2);
  steps = (magnitude(p) - magnitude(t)) .^ 2;
  grad = sum(steps(region)) / 1000;
  row = [nnz(region), sad, mse, grad, conn(p, t, region, false), conn(p, t, region, true)];
end

% Length of the gradient of a matte stretched by its own extremes: derivatives of a Gaussian of
% sigma 1.4, each filter of unit L2 norm, borders repeated.
function length = magnitude(a)
  low = min(a(:));
  high = max(a(:));
  if high > low
    a = (a - low) / (high - low);
  else
    a = zeros(size(a));
  end
  sigma = 1.4;
  half = ceil(sigma * sqrt(-2 * log(sqrt(2 * pi) * sigma * 0.01)));
  k = -half:half;
  gauss = exp(-k .^ 2 / (2 * sigma ^ 2)) / (sigma * sqrt(2 * pi));
  slope = -k .* gauss / sigma ^ 2;
  across = gauss' * slope;
  across = across / sqrt(sum(across(:) .^ 2));
  rows = min(max(1 - half:rows(a) + half, 1), rows(a));
  columns = min(max(1 - half:columns(a) + half, 1), columns(a));
  framed = a(rows, columns);
  length = sqrt(conv2(framed, across, "valid") .^ 2 + conv2(framed, across', "valid") .^ 2);
end

% Connectivity error; thresholds are compared in whole numbers.
function error = conn(p, t, region, skips)
  level = -ones(size(p));
  for k = 1:10
    joint = 10 * p >= 255 * k & 10 * t >= 255 * k;
    if skips && ~any(joint(:))
      continue
    end
    level(~body(joint) & level < 0) = (k - 1) / 10;
  end
  level(level < 0) = 1;
  apart = abs(phi(p, level) - phi(t, level));
  error = sum(apart(region)) / 1000;
end

function value = phi(a, level)
  rise = a / 255 - level;
  value = 1 - rise .* (rise >= 0.15 - 1e-12);
end

% The largest component of neighbours by side, the first of equals in column-major order.
function best = body(mask)
  best = false(size(mask));
  left = mask;
  for seed = find(mask)'
    if ~left(seed)
      continue
    end
    flood = false(size(mask));
    flood(seed) = true;
    before = 0;
    while nnz(flood) > before
      before = nnz(flood);
      wide = flood;
      wide(2:end, :) |= flood(1:end - 1, :);
      wide(1:end - 1, :) |= flood(2:end, :);
      wide(:, 2:end) |= flood(:, 1:end - 1);
      wide(:, 1:end - 1) |= flood(:, 2:end);
      flood = wide & mask;
    end
    left &= ~flood;
    if nnz(flood) > nnz(best)
      best = flood;
    end
  end
end
