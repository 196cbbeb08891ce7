"""Pages in headless Chromium, without a network."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")
OFFLINE = ["--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]


def measured(page: Path, script: str, width: int = 1280, height: int = 800) -> Any:
    """What a JavaScript function's body returns in the page, once it is loaded; an error of the page fails."""
    wrapper = f"""<script>
window.addEventListener("load", async () => {{
  const tell = value => {{
    const place = document.createElement("pre");
    place.id = "measured";
    place.textContent = JSON.stringify(value);
    document.body.append(place);
  }};
  const run = async () => {{ {script} }};
  try {{ tell({{value: await run()}}); }} catch (error) {{ tell({{error: String(error.stack)}}); }}
}});
</script>"""
    copy = page.with_name(f"measured_{page.name}")
    copy.write_text(page.read_text().replace("</body>", f"{wrapper}</body>"))
    command = [CHROMIUM, *OFFLINE, f"--user-data-dir={page.parent}/browser", f"--window-size={width},{height}"]
    command += ["--virtual-time-budget=10000", "--dump-dom", copy.resolve().as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    answer = json.loads(unescape(re.search(r'<pre id="measured">(.*?)</pre>', dumped, re.S).group(1)))
    assert "error" not in answer, answer["error"]
    return answer["value"]
