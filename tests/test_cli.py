"""The command line: quick overview, one clear line on bad input, statuses."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from ov2lib import Ov2Error, cli


@pytest.fixture
def command(monkeypatch):
    """Registers a throwaway subcommand `probe` whose run() is what the test says."""

    def register(run):
        module = types.ModuleType("ov2lib_probe")
        module.add_arguments = lambda parser: parser.add_argument("--n", type=int, default=1)
        module.run = run
        monkeypatch.setitem(sys.modules, "ov2lib.cli.probe", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", "a test")

    return register


def raising(error):
    def run(args):
        raise error

    return run


def test_status_and_options_reach_the_command(command):
    command(lambda args: args.n)
    assert cli.main(["probe", "--n", "3"]) == 3


def test_bad_input_is_one_line_and_status_2(command, capsys):
    command(raising(Ov2Error("a.mp4: is empty;\n  copy it again")))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err == "ov2: a.mp4: is empty; copy it again\n"


def test_a_fault_of_ours_is_not_hidden(command):
    command(raising(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_interrupt_is_clean(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "ov2: interrupted\n"


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["probe", "--n", "many"]])
def test_wrong_usage_is_status_2(command, argv, capsys):
    command(lambda args: 0)
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "usage: ov2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "package"), [(["reproduce"], "papermill"), (["inspect", "{video}", "--png", "{folder}/a.png"], "matplotlib")]
)
def test_a_missing_extra_names_the_remedy(argv, package, specimen, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    for loaded in [name for name in sys.modules if name == "ov2lib.cli.reproduce" or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    assert cli.main([text.format(video=specimen("h264_p_only").path, folder=tmp_path) for text in argv]) == 2
    assert (
        capsys.readouterr().err
        == f"ov2: {package} is not installed; run: pip install '.[notebooks]' in a clone of the project\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_listed_and_loads(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    overview = capsys.readouterr().out
    for name, summary in cli.COMMANDS.items():
        assert name in overview and summary in " ".join(overview.split())
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0


def test_the_overview_imports_nothing_heavy():
    code = "import sys; from ov2lib import cli; cli.build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "matplotlib", "pandas", "papermill"} & set(done.stdout.split())


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
@pytest.mark.parametrize("argument", ["--help", "doctor"])
def test_a_full_disk_is_one_line_and_status_2(argument):
    code = (
        "import sys, types; from ov2lib import cli; m = types.ModuleType('talk'); m.add_arguments = lambda p: None\n"
        "m.run = lambda args: print('a line') or 0; sys.modules['ov2lib.cli.doctor'] = m; cli.COMMANDS['doctor'] = 'talks'\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code, argument], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "ov2: no space left for the output; free some space or write it elsewhere\n"


def test_a_reader_that_leaves_early_gets_no_traceback():
    code = (
        "import sys, types; from ov2lib import cli; m = types.ModuleType('talk'); m.add_arguments = lambda p: None\n"
        "def run(args):\n    for i in range(100_000): print('line', i)\n    return 0\n"
        "m.run = run; sys.modules['ov2lib.cli.talk'] = m; cli.COMMANDS['talk'] = 'talks'; sys.exit(cli.main(['talk']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as talker:
        assert talker.stdout.readline() == b"line 0\n"
        talker.stdout.close()
        assert talker.stderr.read() == b""
        assert talker.wait() == 0
