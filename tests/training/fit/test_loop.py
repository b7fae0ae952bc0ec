import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from inference.models.networks.cropnet import CropNet, CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.series import model_input
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.loop import fit, logits_of
from training.fit.options import TrainingOptions
from training.samples.samples import Samples
from training.scores.metrics import Scores, score

pytestmark = pytest.mark.slow

TINY = CropNetConfig("compact", (8, 8), (2, 2), (0.0, 0.1), 10, 3)
NORMALISATION = Normalisation((0.1,) * 10, (0.1,) * 10)
OPTIONS = TrainingOptions(epochs=4, batch_size=16, learning_rate=0.01, device="cpu")


def run(training, validation, options=OPTIONS, **keywords):
    return fit(TINY, training, validation, options, recipe=Recipe(), normalisation=NORMALISATION, **keywords)


@pytest.fixture
def sides(made_samples):
    return made_samples(60), made_samples(30, seed=9)


def test_crops_that_differ_are_learnt(sides):
    result = run(*sides, TrainingOptions(epochs=12, batch_size=16, learning_rate=0.01, device="cpu"))
    assert result.scores.accuracy > 0.95
    assert result.history[-1].loss < 0.5 * result.history[0].loss


def test_the_best_epoch_by_macro_f1_is_kept(sides):
    result = run(*sides)
    f1 = [epoch.macro_f1 for epoch in result.history]
    assert result.best_epoch == 1 + f1.index(max(f1))
    assert result.scores.macro_f1 == max(f1)


def test_the_weights_are_those_of_the_best_epoch(sides):
    result = run(*sides)
    network = CropNet(TINY)
    network.load_state_dict(result.weights)
    window = sides[1].series[:, :, 24:67]
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(model_input(window, NORMALISATION, Recipe())))
    accuracy = (logits.argmax(1).numpy() == sides[1].labels).mean()
    assert accuracy == pytest.approx(result.scores.accuracy)


def test_the_seed_decides(sides):
    weights = [
        run(*sides, TrainingOptions(epochs=1, seed=seed, device="cpu")).weights["head.weight"]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_callers_random_state_stays_as_it_is(sides):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(*sides, TrainingOptions(epochs=1, device="cpu"))
    assert torch.equal(torch.rand(3), expected)


def test_held_out_samples_do_not_train(sides):
    training, validation = sides
    options = TrainingOptions(epochs=1, device="cpu")
    other = validation.take(np.arange(30)[::-1])
    one, two = (run(training, held_out, options).weights for held_out in (validation, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_transforms_change_training_batches_only(sides):
    training, validation = sides
    seen = []

    def remember(series, rng):
        seen.append(series)
        return series

    run(
        training,
        validation,
        TrainingOptions(epochs=2, batch_size=16, device="cpu"),
        augmentation=Augmentation("field", (remember,)),
    )
    rows = np.concatenate(seen)
    assert rows.shape == (120, 10, 73)  # each of 60 samples, whole season, in each of 2 epochs
    assert {row.tobytes() for row in rows} == {row.tobytes() for row in training.series}


def test_a_hidden_observation_changes_the_input(sides):
    training, validation = sides

    def hide(series, rng):
        return np.where(np.arange(73) % 2 == 0, series, -9999).astype(np.int16)

    options = TrainingOptions(epochs=1, device="cpu")
    plain = run(training, validation, options).history[0].loss
    assert (
        run(training, validation, options, augmentation=Augmentation("field", (hide,))).history[0].loss
        != plain
    )


def test_progress_counts_every_batch_and_ends_full(sides):
    steps = []
    run(*sides, progress=steps.append)
    assert [step.done for step in steps if step.last is None] == [1, 2, 3, 4]  # 60 samples, 16 a batch
    assert (steps[-1].done, steps[-1].total, steps[-1].last.number) == (16, 16, 4)


def test_training_stops_when_it_no_longer_gets_better(sides):
    options = TrainingOptions(epochs=50, batch_size=16, learning_rate=0.01, patience=2, device="cpu")
    result = run(*sides, options)
    assert len(result.history) == result.best_epoch + 2 < 50


def test_a_loss_that_is_no_number_ends_with_the_way_out(sides):
    def hide_all(series, rng):
        return np.full_like(series, -9999)

    with pytest.raises(InputError, match=r"diverged.*--learning-rate"):
        run(*sides, augmentation=Augmentation("field", (hide_all,)))


def test_a_cosine_lowers_the_learning_rate_and_constant_keeps_it(sides, monkeypatch):
    rates = {}
    for schedule in ("cosine", "constant"):
        options = TrainingOptions(
            epochs=2, batch_size=30, learning_rate=0.01, schedule=schedule, device="cpu"
        )
        seen = rates[schedule] = []
        step = torch.optim.Adam.step

        def spy(self, *args, step=step, seen=seen, **keywords):
            seen.append(self.param_groups[0]["lr"])
            return step(self, *args, **keywords)

        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", spy)
            run(*sides, options)
    assert rates["constant"] == [0.01] * 4
    # half a cosine at 0, 1/4, 1/2 and 3/4
    np.testing.assert_allclose(rates["cosine"], [0.01, 0.00853553, 0.005, 0.00146447], rtol=1e-5)


def test_evaluation_does_not_depend_on_batches(sides, monkeypatch):
    maker = BatchMaker(Recipe(), NORMALISATION, torch.device("cpu"))
    network = CropNet(TINY)
    whole = scores_of(network, sides[0], maker)
    monkeypatch.setattr("training.fit.loop.EVALUATION_BATCH", 7)
    assert scores_of(network, sides[0], maker) == whole


def scores_of(network: CropNet, samples: Samples, maker: BatchMaker) -> Scores:
    return score(samples.labels, logits_of(network, samples, maker).argmax(axis=1), samples.class_names)


def test_the_held_out_loss_is_scikit_learns_log_loss(sides):
    result = run(*sides)
    best = result.history[result.best_epoch - 1]
    shares = torch.from_numpy(result.logits).double().softmax(dim=1).numpy()
    assert best.held_out_loss == pytest.approx(log_loss(sides[1].labels, shares), rel=1e-5)
    assert (result.logits.argmax(axis=1) == sides[1].labels).mean() == result.scores.accuracy


def test_copies_make_an_epoch_longer(sides):
    steps = []
    options = TrainingOptions(epochs=1, batch_size=16, augmentation="code", device="cpu")
    augmentation = Augmentation.of("code", options, Recipe())
    run(*sides, options, progress=steps.append, augmentation=augmentation)
    assert steps[-1].total == 12  # 60 samples and two copies of each, 16 a batch: 11.25


@pytest.mark.parametrize(
    ("precision", "trains_in"),
    [("auto", torch.float32), ("float32", torch.float32), ("mixed", torch.bfloat16)],
)
def test_a_cpu_trains_in_16_bits_only_when_asked_and_never_validates_so(sides, precision, trains_in):
    seen = {True: set(), False: set()}

    def build():
        layer = torch.nn.Linear(430, 3)
        layer.register_forward_hook(lambda module, _, logits: seen[module.training].add(logits.dtype))
        return torch.nn.Sequential(torch.nn.Flatten(), layer)

    options = TrainingOptions(epochs=12, batch_size=16, learning_rate=0.01, device="cpu", precision=precision)
    result = fit(build, *sides, options, recipe=Recipe(), normalisation=NORMALISATION)
    assert seen == {True: {trains_in}, False: {torch.float32}}
    assert {tensor.dtype for tensor in result.weights.values()} == {torch.float32}
    assert result.scores.accuracy > 0.95


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_in_mixed_precision_and_repeats_itself(sides):
    options = TrainingOptions(epochs=12, batch_size=16, learning_rate=0.01, device="cuda")
    one, two = run(*sides, options), run(*sides, options)
    assert one.scores.accuracy > 0.95
    assert one.history == two.history
    assert all(tensor.device.type == "cpu" for tensor in one.weights.values())


def test_any_network_can_be_trained(sides):
    def build():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(430, 3))

    options = TrainingOptions(epochs=12, batch_size=16, learning_rate=0.01, device="cpu")
    result = fit(build, *sides, options, recipe=Recipe(), normalisation=NORMALISATION)
    assert result.scores.accuracy > 0.95
    assert set(result.weights) == {"1.weight", "1.bias"}
