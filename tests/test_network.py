"""The network: sizes, determinism, first gradient, export and compilation."""

import pytest
import torch

from a2u_cli.network.model import MattingNetwork


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    torch.manual_seed(0)
    return MattingNetwork().eval()


def sample(height: int, width: int, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    trimap = torch.randint(3, (count, 1, height, width), generator=generator)
    return (
        torch.rand(count, 3, height, width, generator=generator),
        torch.tensor([0.0, 128 / 255, 1.0])[trimap],
    )


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """An untrained network's output is not of the order of 1, so the tolerance is relative."""
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.parametrize(("shared", "parameters"), [(True, 8_089_235), (False, 8_269_451)])
def test_the_parameter_counts_are_the_authors(shared: bool, parameters: int) -> None:
    network = MattingNetwork(shared=shared)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (112, 144)])
def test_any_multiple_of_sixteen_gives_alpha_of_the_same_size(network, size) -> None:
    with torch.inference_mode():
        assert network(*sample(*size)).shape == (1, 1, *size)


def test_a_batch_gives_what_its_pictures_give_alone(network) -> None:
    image, trimap = sample(32, 48, count=2)
    with torch.inference_mode():
        together = network(image, trimap)
        for n in range(2):
            alone = network(image[n : n + 1], trimap[n : n + 1])
            assert_close(together[n : n + 1], alone)


def test_forward_leaves_its_arguments_alone(network) -> None:
    image, trimap = sample(32, 32)
    before = image.clone(), trimap.clone()
    with torch.inference_mode():
        network(image, trimap)
    assert torch.equal(image, before[0])
    assert torch.equal(trimap, before[1])


def test_every_parameter_gets_a_gradient_at_the_start() -> None:
    torch.manual_seed(0)
    network = MattingNetwork().train()
    image, trimap = sample(48, 48, count=2)
    (network(image, trimap) - trimap).abs().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_first_output_is_a_mid_grey_not_a_constant_zero() -> None:
    torch.manual_seed(0)
    network = MattingNetwork().train()
    raw = network(*sample(64, 64, count=2))
    assert 0.05 < raw.mean() < 0.8
    assert raw.std() > 0.01


def test_the_network_exports_and_the_program_agrees(network) -> None:
    inputs = sample(32, 48)
    program = torch.export.export(network, inputs)
    with torch.inference_mode():
        assert_close(program.module()(*inputs), network(*inputs))


def test_dynamo_traces_the_network_in_one_graph(network) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    inputs = sample(32, 32)
    with torch.inference_mode():
        assert_close(compiled(*inputs), network(*inputs))


@pytest.mark.requires_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_gives_what_the_cpu_gives(network, dtype: torch.dtype) -> None:
    inputs = sample(96, 128)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = network(*inputs)
        network.cuda()
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            found = network(*(x.cuda() for x in inputs)).float().cpu()
        network.cpu()
    assert (found - expected).abs().max() < (1e-4 if dtype == torch.float32 else 5e-2)
