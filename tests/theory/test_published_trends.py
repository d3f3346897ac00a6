"""Published results in small: short versions by default, long ones on real data."""

import numpy as np
import pytest
import trends
from trends import LOG10


@pytest.mark.slow
def test_he_trains_30_relu_layers_where_glorot_stalls():
    """He et al. 2015: with Glorot's rule 30 layers stall completely."""
    nets = trends.he_against_glorot(30, 1000, 120, "standin")
    assert nets["he_normal"].loss < 1.5
    assert abs(nets["glorot_normal"].loss - LOG10) < 0.01


@pytest.mark.slow
@pytest.mark.realdata
def test_he_trains_30_relu_layers_where_glorot_stalls_on_mnist():
    nets = trends.he_against_glorot(30, **trends.RELU)
    assert nets["he_normal"].loss < 0.4
    assert abs(nets["glorot_normal"].loss - LOG10) < 0.01


def check_saturation(trained, top):
    """The top sigmoid layer is driven to 0, the layers below it stay where they were.

    Glorot & Bengio 2010: learning waits meanwhile.
    """
    *below, last = [a.mean() for a in trained.hidden]
    assert last < top
    assert all(abs(mean - 0.5) < 0.15 for mean in below)
    assert trained.loss > LOG10 - 0.05


def test_top_sigmoid_layer_saturates_at_zero_and_normalized_tanh_leads():
    """Glorot & Bengio 2010: the order of their networks, in 400 steps."""
    nets = trends.standard_against_normalized(*trends.digits(1000), 400)
    check_saturation(nets["sigmoid", "slide_xavier"], 0.4)
    assert nets["tanh", "slide_xavier"].loss > 1.3 * nets["tanh", "glorot_uniform"].loss


@pytest.mark.slow
@pytest.mark.realdata
def test_top_sigmoid_layer_saturates_and_normalized_tanh_leads_on_cifar10():
    nets = trends.saturation_on_cifar10()
    check_saturation(nets["sigmoid", "slide_xavier"], 0.15)
    errors = {key: net.error for key, net in nets.items()}
    assert errors["sigmoid", "slide_xavier"] > 0.85  # chance is 0.9
    # 2000 examples: one standard error of a difference is 0.016.
    assert errors["tanh", "glorot_uniform"] < errors["tanh", "slide_xavier"] - 0.02


@pytest.mark.slow
def test_networks_train_up_to_six_depth_scales():
    """Schoenholz et al. 2017, at three points of the map."""
    assert trends.depth_limit(1.0) < 22
    assert trends.depth_limit(1.76) > 1000
    losses = trends.trainable_depth([1.0, 1.76], [50], 1000, 150, "standin")
    losses |= trends.trainable_depth([1.0], [10], 1000, 150, "standin")
    assert losses[1.0, 10] < 1.0
    assert losses[1.0, 50] > LOG10 - 0.05
    assert losses[1.76, 50] < 1.5


@pytest.mark.slow
@pytest.mark.realdata
def test_map_of_trainable_depth_on_mnist():
    losses = trends.trainable_depth(**trends.MAP)
    for (sigma_w2, depth), loss in losses.items():
        limit = trends.depth_limit(sigma_w2)
        # 160 layers do not train in 400 steps anywhere, on the critical line neither.
        if depth < min(limit / 3, 100):
            assert loss < 1.5, (sigma_w2, depth, loss)
        if depth > 3 * limit:
            assert loss > LOG10 - 0.1, (sigma_w2, depth, loss)


def test_orthogonal_linear_nets_learn_in_a_time_that_depth_does_not_change():
    """Saxe et al. 2013: flat for orthogonal weights, growing for Gaussian ones.

    The target is twice an isometry to fewer outputs (a square one would be out of reach
    for products of the other determinant); the rate falls with the depth, which keeps
    the steps stable.
    """
    square, last = (20, 20), (5, 20)
    target = 2 * np.linalg.qr(np.random.default_rng(0).normal(size=square))[0][:5]

    def times(draw):
        return [
            trends.learning_time(
                [draw(n, square) for n in range(depth - 1)] + [draw(depth, last)],
                target,
                rate=0.05 / depth,
                limit=300,
            )
            for depth in (5, 20, 80)
        ]

    orthogonal, gaussian = times(trends.orthogonal_draw), times(trends.gaussian_draw)
    assert max(orthogonal) < 1.5 * min(orthogonal), orthogonal
    assert gaussian[-1] > 5 * orthogonal[-1], gaussian


@pytest.mark.slow
@pytest.mark.realdata
def test_orthogonal_linear_nets_learn_mnist_in_a_time_that_depth_does_not_change():
    """Seen from 10 to 100 layers: 11 to 16 steps, against 145 to more than 500."""
    times = trends.learning_times(**trends.LINEAR)
    deep = np.array(trends.LINEAR["depths"]) >= 10
    orthogonal = np.median(times["orthogonal"], axis=0)[deep]
    normal = np.median(times["normal"], axis=0)[deep]
    assert orthogonal.max() < 2 * orthogonal.min(), orthogonal
    assert np.all(normal[1:] > 10 * orthogonal[1:]), normal


@pytest.mark.slow
def test_tanh_cnn_of_100_layers_learns_by_delta_orthogonal_first():
    """Xiao et al. 2018, in 40 steps; deeper networks do not learn otherwise at all."""
    losses = trends.delta_against_glorot(100, 1000, 40, "standin", 0.02)
    assert losses["delta_orthogonal"] < 1.0
    assert losses["glorot_uniform"] > 1.8


@pytest.mark.slow
@pytest.mark.realdata
def test_tanh_cnn_of_200_layers_trains_with_delta_orthogonal_only_on_mnist():
    """Seen: 0.82 against 2.303 = log 10, in 80 steps."""
    losses = trends.delta_against_glorot(200, 2000, 80, "real", 0.01)
    assert losses["delta_orthogonal"] < 1.2
    assert abs(losses["glorot_uniform"] - LOG10) < 0.01
