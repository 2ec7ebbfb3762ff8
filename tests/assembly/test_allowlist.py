"""What a config may have imported and called: a corpus of what it may not, and all that it may."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hostile_config import Hostile, config_text, run

from torchassistant import callbacks
from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import NotFound, Refused, find
from torchassistant.config.roles import ROLES
from torchassistant.errors import ConfigError
from torchassistant.ownership import TRUST_VARIABLE
from torchassistant.session import Draft, create_session

TOUCH = ["touch marker"]
TOUCH_LIST = [["touch", "marker"]]
CODE = ["open('marker', 'w').close()"]
PICKLE = ["evil.pkl"]

PYTHONS = [
    Hostile("builtins.eval", CODE),
    Hostile("builtins.exec", CODE),
    Hostile("builtins.open", ["marker", "w"]),
    Hostile("builtins.compile", [*CODE, "x", "exec"]),
    Hostile("builtins.getattr", ["x", "y"]),
    Hostile("builtins.breakpoint"),
    Hostile("builtins.__import__", ["evil_at_import"]),
    Hostile("os.system", TOUCH),
    Hostile("os.popen", TOUCH),
    Hostile("os.remove", ["precious"]),
    Hostile("os.execvp", ["touch", ["touch", "marker"]]),
    Hostile("posix.system", TOUCH),
    Hostile("subprocess.run", TOUCH_LIST),
    Hostile("subprocess.Popen", TOUCH_LIST),
    Hostile("subprocess.check_output", TOUCH_LIST),
    Hostile("logging.os.system", TOUCH),
    Hostile("logging.FileHandler", ["marker"]),
    Hostile("shutil.rmtree", ["folder"]),
    Hostile("shutil.copyfile", ["precious", "marker"]),
    Hostile("pathlib.Path.touch", ["marker"]),
    Hostile("pathlib.Path", ["marker"]),
    Hostile("importlib.import_module", ["evil_at_import"]),
    Hostile("runpy.run_path", ["evil_at_import.py"]),
    Hostile("pickle.load", PICKLE),
    Hostile("pickle.loads", ["x"]),
    Hostile("marshal.loads", ["x"]),
    Hostile("code.interact"),
    Hostile("ctypes.CDLL", ["libc.so.6"]),
    Hostile("functools.partial", ["x"]),
    Hostile("functools.reduce", ["x", "y"]),
    Hostile("operator.methodcaller", ["x"]),
    Hostile("operator.attrgetter", ["x"]),
    Hostile("multiprocessing.Process"),
    Hostile("threading.Thread"),
    Hostile("socket.create_connection", [["127.0.0.1", 9]]),
    Hostile("urllib.request.urlretrieve", ["file:precious", "marker"]),
    Hostile("urllib.request.urlopen", ["http://127.0.0.1:9/"]),
    Hostile("webbrowser.open", ["http://127.0.0.1:9/"]),
    Hostile("sys.exit", [0]),
    Hostile("collections.namedtuple", ["x", "y"]),
    Hostile("types.FunctionType"),
    Hostile("typing.NamedTuple", ["x"]),
    Hostile("zipfile.ZipFile", ["marker", "w"]),
    Hostile("tarfile.open", ["marker", "w"]),
    Hostile("sqlite3.connect", ["marker"]),
    Hostile("antigravity.webbrowser.open", ["x"]),
    Hostile("turtle.Turtle"),
    Hostile("ensurepip.bootstrap"),
    Hostile("venv.create", ["marker"]),
    Hostile("numpy.load", PICKLE, {"allow_pickle": True}),
    Hostile("numpy.save", ["marker", [1]]),
    Hostile("pandas.read_pickle", PICKLE),
    Hostile("joblib.load", PICKLE),
    Hostile("cloudpickle.load", PICKLE),
    Hostile("sklearn.utils.Bunch"),
    Hostile("pip.main", [["download", "x"]]),
    Hostile("setuptools.setup"),
    Hostile("yaml.unsafe_load", ["x"]),
    Hostile("_pytest.pytester.Pytester"),
]

TORCHS = [
    Hostile("torch.load", PICKLE, {"weights_only": False}),
    Hostile("torch.save", [1, "marker"]),
    Hostile("torch.serialization.load", PICKLE, {"weights_only": False}),
    Hostile("torch.serialization.os.system", TOUCH),
    Hostile("torch.serialization.add_safe_globals", [[]]),
    Hostile("torch.from_file", ["marker"], {"shared": True, "size": 4}),
    Hostile("torch.hub.load", [".", "entry"], {"source": "local"}),
    Hostile("torch.hub.load_state_dict_from_url", ["file:evil.pkl"], {"model_dir": "marker"}),
    Hostile("torch.hub.download_url_to_file", ["file:precious", "marker"]),
    Hostile("torch.hub.set_dir", ["marker"]),
    Hostile("torch.utils.cpp_extension.load_inline", ["x", "int x;"]),
    Hostile("torch.utils.cpp_extension.load", ["x", ["x.cpp"]]),
    Hostile("torch.utils.model_zoo.load_url", ["file:evil.pkl"]),
    Hostile("torch.utils.collect_env.run", TOUCH),
    Hostile("torch.utils.tensorboard.SummaryWriter", ["marker"]),
    Hostile("torch.utils.checkpoint.checkpoint", ["x"]),
    Hostile("torch.utils.file_baton.FileBaton", ["marker"]),
    Hostile("torch.utils.data.datapipes.iter.FileOpener", ["x"]),
    Hostile("torch.utils.data.datapipes.iter.IterableWrapper", [[1]]),
    Hostile("torch.utils.data.graph.traverse_dps", ["x"]),
    Hostile("torch.utils.data.dataloader.os.system", TOUCH),
    Hostile("torch.utils.data._utils.worker.os.system", TOUCH),
    Hostile("torch.jit.load", PICKLE),
    Hostile("torch.jit.script", ["x"]),
    Hostile("torch.jit.CompilationUnit", ["x"]),
    Hostile("torch.package.PackageImporter", PICKLE),
    Hostile("torch.package.PackageExporter", ["marker"]),
    Hostile("torch.classes.load_library", ["x.so"]),
    Hostile("torch.ops.load_library", ["x.so"]),
    Hostile("torch.ops.aten.add", [1, 2]),
    Hostile("torch.library.Library", ["x", "DEF"]),
    Hostile("torch.compile", ["x"]),
    Hostile("torch.export.load", PICKLE),
    Hostile("torch.fx.symbolic_trace", ["x"]),
    Hostile("torch.fx.GraphModule", ["x", "y"]),
    Hostile("torch._dynamo.optimize", ["x"]),
    Hostile("torch._inductor.compile", ["x"]),
    Hostile("torch._C._jit_init"),
    Hostile("torch._C._VariableFunctions.from_file", ["marker"]),
    Hostile("torch._utils_internal.justknobs_check", ["x"]),
    Hostile("torch.distributed.init_process_group", ["gloo"]),
    Hostile("torch.distributed.run.main", [["x"]]),
    Hostile("torch.distributed.launch.main", [["x"]]),
    Hostile("torch.multiprocessing.spawn", ["x"]),
    Hostile("torch.multiprocessing.Process"),
    Hostile("torch.testing._internal.common_utils.run_tests"),
    Hostile("torch.testing.assert_close", [1, 2]),
    Hostile("torch.onnx.export", ["x", "y", "marker"]),
    Hostile("torch.profiler.tensorboard_trace_handler", ["marker"]),
    Hostile("torch.autograd.profiler.profile"),
    Hostile("torch.cuda._sanitizer.enable_cuda_sanitizer"),
    Hostile("torch.set_default_device", ["meta"]),
    Hostile("torch.manual_seed", [1]),
    Hostile("torch.nn.modules.module.torch.load", PICKLE),
    Hostile("torch.nn.functional.importlib.import_module", ["evil_at_import"]),
    Hostile("torch.nn.functional.torch.hub.load", [".", "entry"], {"source": "local"}),
    Hostile("torch.nn.modules.module.functools.partial", ["x"]),
    Hostile("torch.nn.Module.compile"),
    Hostile("torch.nn.Module.load_state_dict"),
    Hostile("torch.nn.Module.__init__.__globals__"),
    Hostile("torch.nn.Module.__subclasses__"),
    Hostile("torch.nn.Linear.mro"),
    Hostile("torch.nn.Linear.forward"),
    Hostile("torch.nn.attention.activate_flash_attention_impl", ["FA4"]),
    Hostile("torch.nn.attention._fa3.register_flash_attention_fa3", ["evil_at_import"]),
    Hostile("torch.nn.attention.flex_attention.create_block_mask", ["x"]),
    Hostile("torch.nn.cpp.ModuleWrapper", ["x"]),
    Hostile("torch.nn.modules.module.register_module_forward_hook", ["x"]),
    Hostile("torch.nn.parallel.parallel_apply", [[1], [2]]),
    Hostile("torch.nn.utils._deprecation_utils.importlib.import_module", ["evil_at_import"]),
    Hostile("torch.nn.utils._deprecation_utils.lazy_deprecated_import", [["x"], "x", "y"]),
    Hostile("torch.optim.lr_scheduler.partial", ["x"]),
    Hostile("torch.optim.lr_scheduler.wraps", ["x"]),
    Hostile("torch.optim._multi_tensor.partialclass", ["x"]),
    Hostile("torch.optim.optimizer.register_optimizer_step_post_hook", ["x"]),
    Hostile("torch.distributions.kl.register_kl", ["x", "y"]),
    Hostile("torch.distributions.kl.warnings.warn", ["x"]),
]

MACHINERY = [
    Hostile("torch.distributions.utils.lazy_property", ["x"]),
    Hostile("torch.distributions.Uniform.support", ["x"]),
    Hostile("torch.distributions.Distribution.set_default_validate_args", [False]),
    Hostile("torch.distributions.biject_to.register", ["x", "y"]),
    Hostile("torch.fork", ["x"]),
    Hostile("torch.import_ir_module", ["x", "y"]),
    Hostile("torch.mkldnn_convolution", ["x"]),
    Hostile("torch.fbgemm_pack_quantized_matrix", ["x"]),
    Hostile("torch.parse_ir", ["x"]),
    Hostile("torch.wait", ["x"]),
    Hostile("torch.Tensor.tofile", ["x", "marker"]),
    Hostile("torch.Tensor.numpy", ["x"]),
    Hostile("torch.Tensor.as_subclass", ["x", "y"]),
    Hostile("torch.UntypedStorage.from_file", ["marker", True, 4]),
    Hostile("torch.FloatStorage.from_file", ["marker", True, 4]),
    Hostile("torch.Generator.set_state", ["x"]),
    Hostile("torch.Size.count", ["x"]),
    Hostile("torch.nn.Module.register_forward_hook", ["x"]),
    Hostile("torch.nn.Module.apply", ["x", "y"]),
    Hostile("torch.nn.Module.to", ["x"]),
    Hostile("torch.nn.Sequential.__class__", ["x"]),
    Hostile("torch.nn.Sequential.append", ["x", "y"]),
    Hostile("torch.nn.Parameter.register_hook", ["x"]),
    Hostile("torch.nn.factory_kwargs.__globals__", ["x"]),
    Hostile("torch.nn.modules._functions.SyncBatchNorm"),
    Hostile("torch.nn.modules.module._forward_unimplemented", ["x"]),
    Hostile("torch.nn.parallel.comm.broadcast", ["x", ["cpu"]]),
    Hostile("torch.nn.parallel.data_parallel", ["x", "y"]),
    Hostile("torch.nn.parallel.DistributedDataParallelCPU", ["x"]),
    Hostile("torch.nn.parallel.distributed.os.system", TOUCH),
    Hostile("torch.nn.utils.parametrize.register_parametrization", ["x", "y", "z"]),
    Hostile("torch.nn.utils.parametrize.cached"),
    Hostile("torch.nn.utils.prune.BasePruningMethod.apply", ["x", "y"]),
    Hostile("torch.nn.utils.prune.global_unstructured", [[["x", "y"]], "z"], {"root": "."}),
    Hostile("torch.nn.utils.rnn.bind", ["x", "y"]),
    Hostile("torch.nn.utils.stateless.functional_call", ["x", {}, []]),
    Hostile("torch.nn.utils.stateless.NamedMemberAccessor", ["x"]),
    Hostile("torch.optim.swap_in_optimizer_params_and_state", ["x", "y", "z"]),
    Hostile("torch.optim.swa_utils.update_bn", [[], "x"]),
    Hostile("torch.optim.Adam.step", ["x"]),
    Hostile("torch.optim.Adam.profile_hook_step", ["x"]),
    Hostile("torch.utils.data.DataLoader.check_worker_number_rationality", ["x"]),
    Hostile("torch.utils.data.Dataset.register_function", ["x", "y"]),
    Hostile("torch.utils.data.backward_compatibility.worker_init_fn", [0]),
    Hostile("torch.utils.data.dataloader.python_multiprocessing.Process", ["x"]),
    Hostile("torch.utils.data._utils.pin_memory.pin_memory", ["x"]),
]

OTHERS = [
    Hostile("torchvision.datasets.utils.download_url", ["file:precious", "."]),
    Hostile("torchvision.datasets.utils.extract_archive", ["evil.pkl", "marker"]),
    Hostile("torchvision.datasets.utils.download_and_extract_archive", ["file:x", "."]),
    Hostile("torchvision.datasets.mnist.os.system", TOUCH),
    Hostile("torchvision.datasets.mnist.shutil.rmtree", ["folder"]),
    Hostile("torchvision.datasets.mnist.codecs.open", ["marker", "w"]),
    Hostile("torchvision.datasets.mnist.download_and_extract_archive", ["file:x", "."]),
    Hostile("torchvision.datasets.mnist.read_image_file", PICKLE),
    Hostile("torchvision.datasets.cifar.pickle.load", PICKLE),
    Hostile("torchvision.datasets.folder.default_loader", PICKLE),
    Hostile("torchvision.datasets.folder.make_dataset", ["."]),
    Hostile("torchvision.datasets.imagenet.load_meta_file", ["."]),
    Hostile("torchvision.datasets.imagenet.parse_train_archive", ["."]),
    Hostile("torchvision.datasets.LSUN", ["."]),
    Hostile("torchvision.datasets.ImageFolder.find_classes", ["."]),
    Hostile("torchvision.datasets.MNIST.download"),
    Hostile("torchvision.datasets.VOCDetection.parse_voc_xml", ["x"]),
    Hostile("torchvision.io.read_image", PICKLE),
    Hostile("torchvision.io.write_file", ["marker", "x"]),
    Hostile("torchvision.utils.save_image", ["x", "marker"]),
    Hostile("torchvision._internally_replaced_utils.load_state_dict_from_url", ["file:x"]),
    Hostile("torchvision.extension.os.system", TOUCH),
    Hostile("torchvision.set_image_backend", ["accimage"]),
    Hostile("torchvision.models._api.load_state_dict_from_url", ["file:evil.pkl"]),
    Hostile("torchvision.models._api.importlib.import_module", ["evil_at_import"]),
    Hostile("torchvision.models.ResNet18_Weights.DEFAULT.get_state_dict", [], {"model_dir": "."}),
    Hostile("torchvision.models.register_model", ["x"]),
    Hostile("torchvision.models.feature_extraction.create_feature_extractor", ["x"]),
    Hostile("torchvision.models.feature_extraction.fx.GraphModule", ["x", "y"]),
    Hostile("torchvision.transforms.v2.functional.register_kernel", ["x", "y"]),
    Hostile("torchvision.transforms.functional.np.load", PICKLE, {"allow_pickle": True}),
    Hostile("torchvision.models.Weights", ["file:evil.pkl", "x", {}]),
    Hostile("torchvision.models.WeightsEnum", ["x", {"a": 1}]),
    Hostile("torchvision.models.ResNet18_Weights.get_state_dict", ["x"]),
    Hostile("torchvision.models.ResNet18_Weights.DEFAULT.url", ["x"]),
    Hostile("torchvision.models._utils.handle_legacy_interface"),
    Hostile("torchvision.ops._register_onnx_ops.roi_pool", ["x"]),
    Hostile("torchvision.tv_tensors.set_return_type", ["TVTensor"]),
    Hostile("torchvision.tv_tensors._dataset_wrapper.WrapperFactories"),
    Hostile("torchmetrics.detection.helpers.CocoBackend", ["pycocotools"]),
    Hostile("torchmetrics.Metric.forward", ["x"]),
    Hostile("torchmetrics.MetricCollection.clone", ["x"]),
    Hostile("torchmetrics.functional.multimodal.clip_score.JinaProcessorWrapper", ["x"]),
    Hostile("torchmetrics.functional.audio.dnsmos.InferenceSession", ["x"]),
    Hostile("torchmetrics.utilities.imports.shutil.which", ["x"]),
    Hostile("torchmetrics.utilities.checks.check_forward_full_state_property", ["x"]),
    Hostile("torchmetrics.metric.pickle.load", PICKLE),
    Hostile("torchmetrics.Metric.load_state_dict"),
    Hostile("torchmetrics.detection.MeanAveragePrecision.coco_to_tm", ["x", "y"]),
    Hostile("torchmetrics.multimodal.CLIPScore", ["evil/model"]),
    Hostile("torchmetrics.multimodal.CLIPImageQualityAssessment", ["evil/model"]),
    Hostile("torchmetrics.functional.multimodal.clip_score", ["x", "y", "evil/model"]),
    Hostile("torchmetrics.text.bert.BERTScore", ["evil/model"]),
    Hostile("torchmetrics.text.infolm.InfoLM", ["evil/model"]),
    Hostile("torchmetrics.functional.text.bert.bert_score", ["x", "y", "evil/model"]),
    Hostile("torchmetrics.functional.bert_score", ["x", "y", "evil/model"]),
    Hostile("torchassistant.session.files.durable_files.remove_folder", ["folder"]),
    Hostile("torchassistant.session.load_session", ["."]),
    Hostile("torchassistant.create_session", ["c.json"]),
    Hostile("torchassistant.cli.main", [["init", "c.json"]]),
    Hostile("torchassistant.cli.main.main", [["init", "c.json"]]),
    Hostile("torchassistant.assembly.importing.import_module", ["evil_at_import"]),
    Hostile("torchassistant.assembly.allowlist.Allowlist", [["os"]]),
    Hostile("torchassistant.errors.traceback.print_exc"),
    Hostile("torchassistant.losses.torch.load", PICKLE),
    Hostile("torchassistant.output_devices.os.system", TOUCH),
    Hostile("torchassistant.output_devices.Path.touch", ["marker"]),
    Hostile("torchassistant.output_devices.json.load", PICKLE),
    Hostile("torchassistant.collators.reduce", ["x", "y"]),
    Hostile("torchassistant.collators.array", ["d", [1.0]]),
    Hostile("torchassistant.adapters.get_close_matches", ["x", "y"]),
    Hostile("torchassistant.preprocessors.Counter", ["x"]),
    Hostile("torchassistant.metrics.Accuracy.__init__.__globals__"),
]

BY_WAY_OF_MINE = '''
import functools, importlib, json, operator, os, pickle, subprocess, sys, types
import numpy as np
import torch
from os import system
from pathlib import Path
from subprocess import run as launch
from torch import load as weights

evaluate = eval
opener = open
part = functools.partial(os.system, "touch marker")
part_of_part = functools.partial(functools.partial(subprocess.run), ["touch", "marker"])
caller = operator.methodcaller("touch")
getter = operator.attrgetter("touch")
bound = Path("marker").touch
appended = [].append
upper = "x".upper
cached = functools.lru_cache(os.system)
method = types.MethodType(os.system, "touch marker")
alias = types.ModuleType("alias")
alias.system = os.system


@functools.wraps(subprocess.run)
def wrapped(*args, **kwargs):
    open("marker", "w")


def plain(*args, **kwargs):
    open("marker", "w")


wrapping = functools.update_wrapper(plain, subprocess.call, assigned=())


class Helper:
    static = staticmethod(os.system)
    plain = os.system
    made = subprocess.Popen
    module = os
    loads = pickle.loads


class Place(type(Path())):
    """A path of the user's own."""


instance = Helper()
net = torch.nn.Linear(1, 1)
'''
LOOKS_MINE = [
    Hostile("way.system", TOUCH),
    Hostile("way.launch", TOUCH_LIST),
    Hostile("way.weights", PICKLE),
    Hostile("way.evaluate", CODE),
    Hostile("way.opener", ["marker", "w"]),
    Hostile("way.os.system", TOUCH),
    Hostile("way.os.path.exists", ["x"]),
    Hostile("way.sys.modules.get", ["os"]),
    Hostile("way.np.load", PICKLE, {"allow_pickle": True}),
    Hostile("way.np.random.rand", [1]),
    Hostile("way.json.codecs.open", ["marker", "w"]),
    Hostile("way.importlib.import_module", ["evil_at_import"]),
    Hostile("way.torch.load", PICKLE),
    Hostile("way.torch.hub.load", [".", "entry"], {"source": "local"}),
    Hostile("way.torch._C._VariableFunctions.from_file", ["marker"]),
    Hostile("way.torch.optim._multi_tensor.partialclass", ["x"]),
    Hostile("way.alias.system", TOUCH),
    Hostile("way.part"),
    Hostile("way.part_of_part"),
    Hostile("way.part.func", TOUCH),
    Hostile("way.caller", ["x"]),
    Hostile("way.getter", ["x"]),
    Hostile("way.bound"),
    Hostile("way.appended", ["x"]),
    Hostile("way.upper"),
    Hostile("way.cached", TOUCH),
    Hostile("way.method"),
    Hostile("way.wrapped", TOUCH_LIST),
    Hostile("way.wrapping", TOUCH_LIST),
    Hostile("way.Helper.static", TOUCH),
    Hostile("way.Helper.plain", TOUCH),
    Hostile("way.Helper.made", TOUCH_LIST),
    Hostile("way.Helper.module.system", TOUCH),
    Hostile("way.Helper.loads", ["x"]),
    Hostile("way.Helper.mro"),
    Hostile("way.Helper.__subclasses__"),
    Hostile("way.Helper.__class__", ["x"]),
    Hostile("way.instance.static", TOUCH),
    Hostile("way.instance.plain", TOUCH),
    Hostile("way.net.register_forward_hook", ["x"]),
    Hostile("way.net.compile"),
    Hostile("way.net.__class__.__mro__"),
    Hostile("way.Place.cwd"),
    Hostile("way.Place.touch", ["marker"]),
    # These only look as if they were below the working directory, or are elsewhere altogether.
    Hostile("outside.Thing"),
    Hostile("vendored.Thing"),
    Hostile("linked.Thing"),
    Hostile("linked_folder.Thing"),
    Hostile("package.inner.Thing"),
    Hostile("package.inner_folder.Thing"),
    Hostile("spread.there.Thing"),
    Hostile("torchmetrics.Thing"),
    Hostile("turtle.Thing"),
    Hostile("this.Thing"),
]
NOT_IMPORTED = {
    "_pytest",
    "antigravity",
    "cloudpickle",
    "ensurepip",
    "evil_at_import",
    "idlelib",
    "joblib",
    "linked",
    "linked_folder",
    "outside",
    "package.inner",
    "package.inner_folder",
    "pip",
    "sklearn",
    "spread",
    "sqlite3",
    "this",
    "torch.distributed.launch",
    "torch.distributed.run",
    "torch.utils.cpp_extension",
    "torch.utils.file_baton",
    "torch.utils.tensorboard",
    "torch.testing._internal.common_utils",
    "turtle",
    "vendored",
    "venv",
    "webbrowser",
}
CORPUS = [*PYTHONS, *TORCHS, *MACHINERY, *OTHERS]
MARKER = "open({!r}, 'w').close()\nclass Thing:\n    def __init__(self, *a, **k): pass\n"


PAYLOAD = f"cbuiltins\neval\n(V{CODE[0]}\ntR."
"""What writes the marker where it is unpickled, as a pickle of protocol 0."""


@pytest.fixture
def trapped(folder: Path) -> Path:
    """A working directory in which whatever runs leaves a trace, or takes something away."""
    (folder / "precious").write_text("kept")
    (folder / "folder").mkdir()
    (folder / "evil.pkl").write_text(PAYLOAD)
    (folder / "evil_at_import.py").write_text(MARKER.format("imported"))
    (folder / "hubconf.py").write_text(CODE[0] + "\ndef entry(): pass\n")
    (folder / "way.py").write_text(BY_WAY_OF_MINE)
    return folder


def modules_elsewhere(folder: Path) -> list[Path]:
    """Modules that are not the user's own, each of which writes a marker; and where they are."""
    outside = folder.parent / "outside"
    site = folder / ".venv/lib/python3.11/site-packages"
    for place in (outside, site, outside / "target", outside / "spread", folder / "spread"):
        place.mkdir(parents=True)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    for file in (
        outside / "outside.py",
        outside / "target.py",
        outside / "target" / "__init__.py",
        outside / "spread" / "there.py",
        folder / "spread" / "here.py",
        site / "vendored.py",
        folder / "torchmetrics.py",
        folder / "turtle.py",
        folder / "this.py",
    ):
        file.write_text(MARKER.format(f"imported {file.name}"))
    (folder / "linked.py").symlink_to(outside / "target.py")
    (folder / "package" / "inner.py").symlink_to(outside / "target.py")
    (folder / "linked_folder").symlink_to(outside / "target")
    (folder / "package" / "inner_folder").symlink_to(outside / "target")
    return [outside, site]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def check_refused(
    folder: Path,
    hostile: Sequence[Hostile],
    everywhere: bool = False,
    script: str | None = None,
    path: Sequence[Path] = (),
) -> None:
    """A command refuses each of these at its line, and does nothing else."""
    text, lines = config_text(hostile, everywhere)
    (folder / "c.json").write_text(text)
    before = files(folder)
    arguments = ["c.json"] if script else ["check", "c.json"]
    done = run(folder, *arguments, script=script, path=path)
    assert done.lines == lines, done.stderr
    assert done.status == 2
    assert "Traceback" not in done.stderr
    assert files(folder) == before
    assert [event for event in done.events if "ldconfig" not in event[1]] == []
    assert done.modules & NOT_IMPORTED == set()


def test_in_every_place_of_a_config(trapped: Path) -> None:
    check_refused(trapped, [Hostile("logging.os.system", TOUCH)], everywhere=True)
    hostile = [Hostile("torch.load", PICKLE), Hostile("way.part"), Hostile("outside.Thing")]
    check_refused(
        trapped, hostile, everywhere=True, script="init.py", path=modules_elsewhere(trapped)
    )


def test_in_the_configs_of_an_evaluation_and_of_an_inference(trapped: Path) -> None:
    (trapped / "c.json").write_text(config_text([])[0])
    create_session("c.json", preflight=False)
    hostile = Hostile("logging.os.system", TOUCH).spec()
    mse = {"group": "losses", "name": "mse", "spec": {"transform": {**hostile, "args": TOUCH}}}
    over = {"session_dir": "run", "initialize": {"definitions": [mse]}}
    (trapped / "evaluation.json").write_text(json.dumps(over))
    asked = {
        "session_dir": "run",
        "inputs_meta": [{"input_converter": hostile}],
        "post_processor": hostile,
        "output_device": hostile,
    }
    (trapped / "inference.json").write_text(json.dumps(asked))
    before = files(trapped)
    for script, arguments, count in (
        ("evaluate.py", ["evaluation.json"], 1),
        ("infer.py", ["inference.json", "1"], 3),
    ):
        done = run(trapped, *arguments, script=script)
        assert done.status == 2, done.stderr
        assert done.stderr.count('"logging.os.system" may not be used') == count
        assert "Traceback" not in done.stderr
        assert [event for event in done.events if "ldconfig" not in event[1]] == []
    assert files(trapped) == before


@pytest.mark.parametrize("names", [PYTHONS, TORCHS, MACHINERY], ids=["Python", "torch", "inner"])
def test_of_python_of_torch_and_of_its_machinery(trapped: Path, names: list[str]) -> None:
    check_refused(trapped, names)


def test_of_other_libraries(trapped: Path) -> None:
    check_refused(trapped, OTHERS)


def test_by_way_of_a_module_of_the_user(trapped: Path) -> None:
    check_refused(trapped, LOOKS_MINE, path=modules_elsewhere(trapped))


def test_the_traps_work(trapped: Path) -> None:
    """What is called leaves the trace that the other tests look for."""
    before = files(trapped) | {"c.json"}
    (trapped / "c.json").write_text(config_text([Hostile("subprocess.run", TOUCH_LIST)])[0])
    done = run(trapped, "check", "--preflight", "c.json", "--trust", "subprocess")
    assert files(trapped) == before | {"marker"}
    assert any("'touch'" in arguments for _, arguments in done.events)
    (trapped / "marker").unlink()
    load = find("torch.load", (), Allowlist(["torch.serialization"]))
    with pytest.raises(RuntimeError, match="Invalid magic number"):
        load("evil.pkl", weights_only=False)
    assert (trapped / "marker").exists()


IN_ANY_PROCESS = [one for one in (*CORPUS, *LOOKS_MINE) if not one.path.endswith(".Thing")]


@pytest.mark.parametrize("hostile", IN_ANY_PROCESS, ids=lambda hostile: hostile.path)
def test_each_is_refused_by_any_name(trapped: Path, hostile: Hostile) -> None:
    """Also one at a time, whatever has been imported before; and it says what to do."""
    before = files(trapped)
    with pytest.raises(NotFound) as caught:
        find(hostile.path, ROLES["models"].search_paths, Allowlist())
    assert files(trapped) == before
    message = str(caught.value)
    if isinstance(caught.value, Refused) and "__" not in hostile.path and "private" not in message:
        assert "--trust " in message


def test_short_names_lead_nowhere_else() -> None:
    """What a catalogue or torch has imported for itself is no short name."""
    for role in ROLES.values():
        for home in role.search_paths:
            if home.endswith("*"):
                continue
            module = importlib.import_module(home)
            for name, value in vars(module).items():
                foreign = getattr(value, "__module__", home).partition(".")[0]
                if callable(value) and foreign not in ("torch", "torchassistant", "typing"):
                    with pytest.raises(NotFound):
                        find(name, role.search_paths, Allowlist())


# What looks like a module of the user


def test_a_namesake_of_a_library_or_of_python_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchvision", "torchmetrics", "turtle"):
        (folder / f"{name}.py").write_text(MARKER.format("imported"))
        monkeypatch.delitem(sys.modules, name, raising=False)
    for path, whose in (
        ("torchvision.models.resnet18", "a library is"),
        ("torchmetrics.Accuracy", "a library is"),
        ("BinaryAccuracy", "a library is"),
        ("turtle.Thing", "one of Python's own is"),
    ):
        with pytest.raises(Refused) as caught:
            find(path, ROLES["metrics"].search_paths, Allowlist())
        assert whose in str(caught.value)
    assert not (folder / "imported").exists()


@pytest.mark.parametrize("script", [None, "init.py"])
def test_modules_that_the_engine_needs_are_never_those_of_the_folder(
    folder: Path, script: str | None
) -> None:
    for name in ("torch", "json", "logging", "random", "numpy", "pandas", "tqdm", "safetensors"):
        (folder / f"{name}.py").write_text(MARKER.format(f"imported {name}"))
    text, lines = config_text([Hostile("json.Thing"), Hostile("torch.load")])
    (folder / "c.json").write_text(text)
    before = files(folder)
    done = run(folder, *([] if script else ["check"]), "c.json", script=script)
    assert (done.status, done.lines) == (2, lines), done.stderr
    assert files(folder) == before


def test_modules_of_the_user(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "nets.py").write_text(
        """
import functools
import torch
from torch import nn
from mine import Net as Imported

class Net(nn.Module):
    @classmethod
    def small(cls):
        return cls()

    @staticmethod
    def large():
        return Net()

def noted(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

@noted
def decorated():
    return Net()

@torch.no_grad()
def without_gradients():
    return Net()

cached = functools.lru_cache(Net)
@functools.lru_cache
def remembered():
    return Net()
part = functools.partial(Net)
of_library = functools.partial(nn.Linear, 2)
loss = nn.MSELoss()
net = Net()
from_library = nn.Linear
function = torch.nn.functional.mse_loss
_private = Net
"""
    )
    names = (
        "Net Net.small Net.large decorated without_gradients remembered part of_library loss net "
        "from_library function _private Imported nn.Linear torch.nn.ReLU torch.zeros"
    )
    for name in names.split():
        assert callable(find(f"parts.nets.{name}", (), Allowlist())), name


# What is trusted at the command line


@pytest.fixture
def library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package outside of the working directory."""
    package = folder.parent / "elsewhere" / "library_of_others"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("import os\nclass Top: pass\n")
    (package / "inner" / "__init__.py").write_text("class Inner: pass\n")
    (package / "other.py").write_text("class Other: pass\nfrom os import system\n")
    (package.parent / "library_of_others_two.py").write_text("class Two: pass\n")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


ALL = ("Top", "inner.Inner", "other.Other", "other.system", "os.system", "os.path.join")


@pytest.mark.parametrize(
    ("trusted", "allowed"),
    [
        ("library_of_others", {"Top", "inner.Inner", "other.Other"}),
        ("library_of_others.inner", {"inner.Inner"}),
        ("library_of_others.other", {"other.Other"}),
        ("library_of", set()),
        ("os", set()),
        ("library_of_others, os", set(ALL)),
        ("library_of_others.os", set()),
        ("", set()),
    ],
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_what_is_trusted_is_that_and_below(
    library: Path, monkeypatch: pytest.MonkeyPatch, trusted: str, allowed: set[str], by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv(TRUST_VARIABLE, trusted)
    trust = Allowlist(trusted.split(", ") if by == "option" and trusted else ())
    found = set()
    for name in ALL:
        try:
            find(f"library_of_others.{name}", (), trust)
            found.add(name)
        except Refused as error:
            assert "--trust " in str(error)
    assert found == allowed
    with pytest.raises(Refused):
        find("library_of_others_two.Two", (), trust)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("os.system", "os"),
        ("logging.os.system", "logging.os"),
        ("mine.torch.load", "torch.serialization"),
        ("torch.load", "torch.serialization"),
        ("torch.hub.load", "torch.hub"),
        ("torch.jit.load", "torch.jit"),
        ("sklearn.svm.SVC", "sklearn.svm"),
        ("library_of_others.Top", "library_of_others"),
        ("torchvision.io.read_image", "torchvision.io"),
        ("torchvision.datasets.LSUN", "torchvision.datasets.lsun"),
        ("torch.nn.Module.compile", "torch.nn.modules.module"),
        ("torch.compile", "torch.compile"),
        ("torch.from_file", "torch.from_file"),
        ("torch.nn.utils.rnn.bind", "torch.nn.utils.rnn.bind"),
        ("torch.nn.functional.torch.from_file", "torch.from_file"),
    ],
)
def test_messages_name_what_to_trust(library: Path, path: str, module: str) -> None:
    with pytest.raises(Refused) as caught:
        find(path, (), Allowlist())
    assert f"--trust {module} " in str(caught.value)
    if path != "logging.os.system":
        assert callable(find(path, (), Allowlist([module])))


def test_a_config_cannot_trust(library: Path) -> None:
    text, lines = config_text([Hostile("library_of_others.Top")])
    for key in ("trust", "TORCHASSISTANT_TRUST", "--trust"):
        config = json.loads(text)
        config[key] = ["library_of_others"]
        with pytest.raises(ConfigError) as caught:
            Draft(config)
        problems = [str(problem) for problem in caught.value.problems]
        assert len(problems) == len(lines) + 1
        assert any("--trust library_of_others " in problem for problem in problems)
    with pytest.raises(ConfigError) as caught:
        Draft(json.loads(text), settings=["trust=library_of_others"])
    assert any("--trust library_of_others " in str(p) for p in caught.value.problems)


# What is allowed

LEGITIMATE = """
torch.nn.Linear torch.nn.modules.linear.Linear torch.nn.functional.mse_loss torch.nn.Parameter
torch.nn.Embedding.from_pretrained torch.nn.utils.rnn.pad_sequence torch.nn.DataParallel
torch.nn.utils.parametrizations.weight_norm torch.nn.init.xavier_uniform_
torch.optim.Adam torch.optim.lr_scheduler.OneCycleLR torch.optim.swa_utils.AveragedModel
torch.utils.data.TensorDataset torch.utils.data.DataLoader torch.utils.data.random_split
torch.utils.data.WeightedRandomSampler torch.utils.data.default_collate
torch.utils.data.DistributedSampler torch.distributions.Normal torch.distributions.kl_divergence
torch.tensor torch.zeros torch.randn torch.arange torch.linspace torch.cat torch.stack torch.eye
torch.Generator torch.Size torch.Tensor torch.device torch.einsum torch.cdist torch.unique
torch.nn.functional.max_pool2d torch.fft.fft torch.linalg.norm torch.special.expit
torchvision.models.resnet18 torchvision.models.get_model torchvision.models.get_weight
torchvision.models.detection.fasterrcnn_resnet50_fpn torchvision.models.segmentation.fcn_resnet50
torchvision.models.ResNet18_Weights.DEFAULT.transforms torchvision.models.resnet.ResNet
torchvision.datasets.MNIST torchvision.datasets.ImageFolder torchvision.datasets.FakeData
torchvision.transforms.Compose torchvision.transforms.v2.Compose
torchvision.transforms.functional.resize torchvision.transforms.v2.functional.resize
torchvision.transforms.v2.RandomHorizontalFlip torchvision.ops.nms torchvision.ops.MLP
torchvision.ops.sigmoid_focal_loss torchvision.tv_tensors.Image
torchmetrics.Accuracy torchmetrics.MetricCollection torchmetrics.classification.BinaryAUROC
torchmetrics.functional.accuracy torchmetrics.functional.text.bleu_score torchmetrics.text.BLEUScore
torchmetrics.image.StructuralSimilarityIndexMeasure torchmetrics.wrappers.BootStrapper
torchmetrics.image.fid.FrechetInceptionDistance torchmetrics.MeanMetric
torchassistant.collators.BatchDivide torchassistant.transforms.same_shape
torchassistant.metrics.Accuracy torchassistant.output_devices.JsonLines
torchassistant.stop_conditions.EarlyStopping torchassistant.losses.MaskedCrossEntropy
"""


@pytest.mark.parametrize("path", LEGITIMATE.split())
def test_the_modelling_parts_of_the_libraries_are_allowed(path: str) -> None:
    assert callable(find(path, (), Allowlist()))


PUBLIC = (
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.utils.data",
    "torch.distributions",
    "torch.functional",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.transforms.v2",
    "torchvision.transforms.v2.functional",
    "torchvision.tv_tensors",
    "torchmetrics",
    "torchmetrics.functional",
    "torchmetrics.audio",
    "torchmetrics.classification",
    "torchmetrics.functional.classification",
    "torchmetrics.functional.regression",
    "torchmetrics.image",
    "torchmetrics.regression",
    "torchmetrics.retrieval",
    "torchmetrics.text",
    "torchmetrics.wrappers",
    *sorted({home for role in ROLES.values() for home in role.search_paths if home[-1] != "*"}),
)
LEFT_OUT = {
    # They take any model's name, and fetch it; some run code that comes with it.
    "torchmetrics.text.BERTScore",
    "torchmetrics.text.InfoLM",
    "torchmetrics.functional.bert_score",
    # No functions of tensors, only imported there.
    "torch.nn.functional.boolean_dispatch",
    "torch.nn.functional.handle_torch_function",
    "torch.nn.functional.has_torch_function",
    "torch.nn.functional.has_torch_function_unary",
    "torch.nn.functional.has_torch_function_variadic",
    # Machinery of weights, of optimizers and of types, and helpers of our own classes.
    "torch.optim.swap_in_optimizer_params_and_state",
    "torchvision.models.Weights",
    "torchvision.models.WeightsEnum",
    "torchvision.tv_tensors.set_return_type",
    "torchassistant.adapters.is_names_to_names",
    "torchassistant.adapters.missing_column",
    # Registries, and machinery of data pipes, which run what they are given.
    "torch.optim.lr_scheduler.partial",
    "torch.utils.data.DFIterDataPipe",
    "torch.utils.data.DataChunk",
    "torch.utils.data.IterDataPipe",
    "torch.utils.data.MapDataPipe",
    "torch.utils.data._DatasetKind",
    "torch.utils.data.argument_validation",
    "torch.utils.data.functional_datapipe",
    "torch.utils.data.get_worker_info",
    "torch.utils.data.guaranteed_datapipes_determinism",
    "torch.utils.data.non_deterministic",
    "torch.utils.data.runtime_validation",
    "torch.utils.data.runtime_validation_disabled",
    "torch.distributions.register_kl",
    "torchvision.datasets.LSUN",
    "torchvision.datasets.LSUNClass",
    "torchvision.models.register_model",
    "torchvision.transforms.v2.functional.register_kernel",
    # What a callback is written with, and called with.
    *(f"torchassistant.callbacks.{n}" for n in callbacks.__all__ if n.endswith("Event")),
    *("torchassistant.callbacks.Callback", "torchassistant.callbacks.on"),
    # Parts of output devices.
    *("torchassistant.output_devices.images_of", "torchassistant.output_devices.jsonable"),
}


def public_names(module: ModuleType) -> list[str]:
    """What a namespace offers; where it does not say, what is defined in its own library."""
    said = getattr(module, "__all__", None)
    if said is not None:
        return list(said)
    top = module.__name__.partition(".")[0]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and str(value.__module__).startswith(
            f"{top}." if top != "torchassistant" else module.__name__
        )
    ]


@pytest.mark.parametrize("namespace", PUBLIC)
def test_everything_public_in_a_namespace_is_allowed(namespace: str) -> None:
    module = importlib.import_module(namespace)
    refused = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in public_names(module):
            if callable(getattr(module, name)):
                try:
                    find(f"{namespace}.{name}", (), Allowlist())
                except Refused:
                    refused.add(f"{namespace}.{name}")
    assert refused <= LEFT_OUT
