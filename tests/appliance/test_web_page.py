"""The page in a browser: headless Chromium does what people do. Server, daemon and checks are real."""

import shutil

import pytest

from appliance import trial
from appliance.errors import BundleError
from appliance.style import state

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not on this machine: apt install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1000,1400"):
        options.add_argument("--" + argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page as people see it. `until(test)` waits for what they would wait for."""

    def __init__(self, driver, web):
        self.driver, self.web = driver, web

    def open(self):
        self.driver.get(self.web.address)
        return self

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def until(self, test):
        return WebDriverWait(self.driver, 30, 0.02, (Exception,)).until(lambda _: test())

    def says(self, words):
        return self.until(lambda: words in self.one("#message").text and self.one("#message"))

    def style(self, title):
        """The button that shows a style."""
        return self.until(lambda: next(one for one in self.all("#styles .show") if title in one.text))

    def shows(self, title):
        self.until(lambda: self.style(title).get_attribute("aria-pressed") == "true")

    def width(self):
        """Of the page, in pixels: at least the window's."""
        return self.driver.execute_script("return document.documentElement.scrollWidth")


@pytest.fixture
def page(chromium, web):
    one = Page(chromium, web)
    chromium.get_log("browser")
    yield one
    # No error of a script, and nothing that the page's own policy forbids.
    faults = [entry for entry in chromium.get_log("browser") if "Failed to load resource" not in entry["message"]]
    chromium.delete_all_cookies()
    chromium.get("about:blank")
    assert faults == []


def picture(page):
    """The width of the live picture, in its own pixels; 0 while there is none."""
    return page.driver.execute_script("return document.getElementById('picture').naturalWidth")


def test_it_shows_the_picture_and_what_runs(page):
    page.open()
    page.until(lambda: picture(page) == 64)
    page.until(lambda: "fps" in page.one("#fps").text and page.one("#size").text == "64x32")
    page.shows("The Other One")
    assert "virtual" not in page.one("#device").text and "/dev/video9" in page.one("#device").text
    assert page.all("#styles img.preview") and page.one("#logout").is_displayed() is False


def test_one_click_switches_and_pins(page):
    page.open()
    title = next(one["title"] for one in page.web.get("/api/styles")[1]["styles"] if one["name"] == "tiny")
    page.style(title).click()
    page.says(f"{title} is shown.")
    page.shows(title)
    assert page.web.daemon.switcher.snapshot.style.name == "tiny"
    assert "Pinned" in page.one("#pinned").text
    page.one("#newest").click()
    page.says("Unpinned.")
    page.shows("The Other One")
    page.one("#next").click()
    page.shows(title)
    page.one("#power").click()
    page.says("Switched off")
    page.until(lambda: page.one("#power").text == "Switch on" and page.web.daemon.screen.slate)
    page.one("#power").click()
    page.until(lambda: page.one("#power").text == "Switch off" and not page.web.daemon.screen.slate)


def test_a_style_that_is_refused_says_why(page, monkeypatch):
    def measure(path, *_):
        raise BundleError(f"{path}: it crashes")

    monkeypatch.setattr(trial, "measure", measure)
    page.open()
    title = next(one["title"] for one in page.web.get("/api/styles")[1]["styles"] if one["name"] == "tiny")
    page.style(title).click()
    assert page.says("it crashes").get_attribute("class") == "bad"
    page.shows("The Other One")
    page.until(lambda: page.one("#refused").is_displayed() and "Refused" in page.style(title).text)


def test_a_style_is_uploaded_and_deleted(page, style, tmp_path):
    page.open()
    page.style("The Other One")
    page.one("#file").send_keys(str(style(tmp_path / "new_one.reconet", title="<b>Brand & new</b>").path))
    page.says("<b>Brand & new</b> is shown.")
    page.shows("<b>Brand & new</b>")  # as text, not as HTML
    assert "new_one.reconet" in page.web.files() and not page.one("#progress").is_displayed()
    page.one('[aria-label="Delete <b>Brand & new</b>"]').click()
    page.driver.switch_to.alert.accept()
    page.says("is deleted.")
    page.shows("The Other One")
    assert page.web.files() == ["other.reconet", "tiny.reconet"]


def test_a_bad_file_is_refused_and_nothing_is_left(page, tmp_path):
    page.open()
    page.style("The Other One")
    (tmp_path / "bad.reconet").write_bytes(b"PK\x03\x04" + bytes(100000))
    page.one("#file").send_keys(str(tmp_path / "bad.reconet"))
    assert page.says("truncated").get_attribute("class") == "bad"
    (tmp_path / "holiday.txt").write_text("no style")
    page.one("#file").send_keys(str(tmp_path / "holiday.txt"))
    page.says("holiday.txt is not a .reconet file.")
    assert page.web.files() == ["other.reconet", "tiny.reconet"] and list(page.web.inbox.iterdir()) == []


def test_it_asks_for_the_token(page):
    token = page.web.token()
    page.open()
    field = page.until(lambda: page.one("#token").is_displayed() and page.one("#token"))
    assert page.driver.switch_to.active_element == field and not page.one("#main").is_displayed()
    field.send_keys("wrong" + Keys.ENTER)
    page.until(lambda: "not the token" in page.one("#summary").text)
    field.clear()
    field.send_keys(token + Keys.ENTER)
    page.until(lambda: picture(page) == 64)
    page.open()
    page.until(lambda: picture(page) == 64)  # it is remembered
    page.one("#logout").click()
    page.until(lambda: page.one("#token").is_displayed())


def test_it_works_by_keyboard(page):
    page.open()
    page.style("The Other One")
    for _ in range(40):  # with the tab key from the top of the page to a style
        active = page.driver.switch_to.active_element
        if "show" in (active.get_attribute("class") or "") and active.get_attribute("aria-pressed") == "false":
            break
        active.send_keys(Keys.TAB)
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    page.says("is shown.")
    assert state.read(page.web.folder).pinned == "tiny"
    page.one("#brightness").send_keys(Keys.HOME)
    page.says("Text screens are at 5 % brightness.")
    assert state.read(page.web.folder).slates == 0.05


def test_it_has_names_for_who_does_not_see_it(page):
    page.open()
    page.style("The Other One")
    nameless = page.driver.execute_script("""
        return [...document.querySelectorAll("button, input, img, progress")].filter((one) => one.offsetParent &&
            !(one.textContent.trim() || one.ariaLabel || one.hasAttribute("alt") || (one.labels && one.labels.length))
        ).map((one) => one.outerHTML)""")
    assert nameless == []
    assert page.one("#message").get_attribute("aria-live") == "polite"
    assert page.one("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read(page, dark):
    emulate = page.driver.execute_cdp_cmd
    emulate("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    emulate("Emulation.setEmulatedMedia", media)
    try:
        page.open()
        page.style("The Other One")
        page.until(lambda: picture(page) == 64)
        assert page.width() == 360
        small = page.driver.execute_script("""
            return [...document.querySelectorAll("button, input")].filter((one) => one.offsetParent)
                .filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)""")
        assert small == []  # for a thumb
        for css in ("#summary", "#styles .title", "#styles .quiet", "#styles .state", "dt", "#add label"):
            assert page.driver.execute_script(CONTRAST, page.one(css)) >= 4.5, css
    finally:
        emulate("Emulation.clearDeviceMetricsOverride", {})
        emulate("Emulation.setEmulatedMedia", {"features": []})


# The contrast of WCAG 2 between an element's text and the first ground behind it.
CONTRAST = """
    const numbers = (text) => text.match(/[0-9.]+/g).map(Number);
    const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
    let ground = arguments[0];
    while (/, 0\\)$/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
    const both = [light(numbers(getComputedStyle(arguments[0]).color)),
        light(numbers(getComputedStyle(ground).backgroundColor))].sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
"""


def test_when_the_daemon_ends_it_says_so_and_goes_on_when_it_is_back(page, appliance):
    page.open()
    page.until(lambda: picture(page) == 64)
    page.web.daemon.stop()
    page.web.daemon.thread.join(10)
    page.until(lambda: "the daemon is not running" in page.one("#summary").text and page.one("#slate").is_displayed())
    appliance()
    page.until(lambda: page.one("#fps").text != "–" and not page.one("#slate").is_displayed())
