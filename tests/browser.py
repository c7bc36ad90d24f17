"""A headless browser, driven over the WebDriver protocol with the standard library; None where none is installed."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator

FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "hide-scrollbars", "disable-dev-shm-usage",
)  # fmt: skip


def browsers() -> tuple[str, str] | None:
    """(browser, its driver), where both are installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Page:
    """One window of a browser without network."""

    def __init__(self, address: str):
        self.address = address

    def call(self, what: str, **values):
        """A WebDriver command of this session."""
        return _post(f"{self.address}/{what}", values)

    def open(self, url: str) -> None:
        self.call("url", url=url)

    def run(self, script: str, *values):
        """What the body of a function returns in the page; it may return a promise."""
        begin = "const done = arguments[arguments.length - 1]; (async () => {"
        wrapped = f"{begin} {script} }})().then(done, (error) => done(String(error)));"
        return self.call("execute/async", script=wrapped, args=list(values))

    def keys(self, text: str) -> None:
        """Press keys on what has the focus."""
        presses = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.call("actions", actions=[{"type": "key", "id": "keyboard", "actions": presses}])

    def point(self, x: float, y: float) -> None:
        """Move the pointer to a place of the window, in CSS pixels."""
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self.call("actions", actions=[{"type": "pointer", "id": "mouse", "actions": [move]}])

    def tap(self, x: float, y: float) -> None:
        """Touch a place of the window with a finger, and let go."""
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        presses = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        finger = {"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"}, "actions": presses}
        self.call("actions", actions=[finger])

    def log(self) -> list[str]:
        """Errors and warnings of the console so far."""
        return [entry["message"] for entry in self.call("se/log", type="browser") if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self) -> bytes:
        """The window as PNG."""
        with urllib.request.urlopen(f"{self.address}/screenshot") as answer:
            return base64.b64decode(json.load(answer)["value"])


@contextlib.contextmanager
def window(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A window of this size; the browser ends with the block."""
    browser, driver = browsers() or (None, None)
    with tempfile.TemporaryDirectory() as profile:
        server = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = next(match[1] for line in server.stdout if (match := re.search(r"started successfully on port (\d+)", line)))
            scheme = ["blink-settings=preferredColorScheme=0"] if dark else []
            arguments = [f"--{flag}" for flag in (*FLAGS, *scheme, f"user-data-dir={profile}", f"window-size={width},{height}")]
            options = {"binary": browser, "args": arguments}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            base = f"http://127.0.0.1:{port}/session"
            session = f"{base}/{_post(base, {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"
            page = Page(session)
            _post(f"{session}/goog/cdp/execute", {"cmd": "Network.emulateNetworkConditions", "params": {
                "offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}})  # fmt: skip
            _post(f"{session}/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})  # fmt: skip
            yield page
            urllib.request.urlopen(urllib.request.Request(session, method="DELETE")).close()
        finally:
            server.kill()
            server.communicate()


def _post(address: str, values: dict):
    request = urllib.request.Request(address, json.dumps(values).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]
