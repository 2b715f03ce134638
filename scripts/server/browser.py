"""A real browser for the server's pages: Debian's chromium with its driver."""
import time

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By


class Browser:
    """One window, at a size, light or dark, with JavaScript or without."""

    def __init__(self, url, size=(1200, 900), dark=False, javascript=True):
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=%d,%d" % size):
            options.add_argument(word)
        if dark:
            options.add_argument("--blink-settings=preferredColorScheme=0")
        if not javascript:
            options.add_experimental_option(
                "prefs", {"profile.managed_default_content_settings.javascript": 2}
            )
        self.url = url
        self.size = size
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_window_size(*size)

    def open(self, path):
        """Opens a page."""
        self.driver.get(path if path.startswith("http") else self.url + path)
        return self

    def fill(self, **fields):
        """Types into fields by their names."""
        for name, value in fields.items():
            field = self.driver.find_element(By.NAME, name)
            field.clear()
            field.send_keys(value)
        return self

    def press(self, text):
        """Presses the button with a text."""
        self.driver.find_element(By.XPATH, '//button[contains(., "%s")]' % text).click()
        return self

    def follow(self, text):
        """Follows the link with a text."""
        self.driver.find_element(By.PARTIAL_LINK_TEXT, text).click()
        return self

    @property
    def text(self):
        """What the page says; one that is just being loaded says nothing yet."""
        for _ in range(40):
            try:
                return self.driver.find_element(By.TAG_NAME, "main").text
            except (NoSuchElementException, StaleElementReferenceException):
                time.sleep(0.05)
        return ""

    @property
    def path(self):
        """Where the browser is."""
        return self.driver.current_url.removeprefix(self.url)

    def see(self, words, seconds=60, path=None):
        """Waits until the page says something; a path is opened again until it does."""
        end = time.monotonic() + seconds
        while words not in self.text:
            if time.monotonic() > end:
                self.picture("/tmp/fleet-demo-failed.png")
                raise SystemExit("the page %s never said %r:\n%s" % (self.path, words, self.text))
            time.sleep(0.2)
            if path:
                self.open(path)
        return self

    def picture(self, file):
        """Takes a picture of the whole page."""
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.set_window_size(self.size[0], min(max(height + 140, 500), 4000))
        self.driver.save_screenshot(str(file))
        self.driver.set_window_size(*self.size)
        return self

    def accept(self, link, password):
        """Takes an invitation."""
        return self.open(link).fill(password=password, again=password).press("Set it").see("Environments")

    def sign_in(self, account, password):
        """Signs in."""
        return self.open("/sign-in").fill(account=account, password=password).press("Sign in").see("Environments")

    def close(self):
        """Ends the browser."""
        self.driver.quit()
