"""Cookies by the path that they are for, so that a call costs the same whatever the number of apps.

`fly_flaps_affinity` is set for each app (`Path=/v1/apps/<app>`) and brings later calls for that app to the node that
saw its creation. A cookie jar looks at all that it holds for each request: with one jar for a thousand apps, each call
cost four times what it costs with none. Here each app has a jar of its own; what a cookie means, when it ends and when
it may be sent is left to the library's jars.
"""

from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

MOST_APPS: Final = 20_000
"""What was used longest ago is forgotten beyond that: it is a matter of the minute after a creation."""
EVERYWHERE: Final = ""
_APP_PARTS: Final = 4
"""The parts of `/v1/apps/acme-time`, the empty one before the first slash included."""


def no_cookies() -> CookieJar:
    """A jar that takes none, for a client whose cookies are kept here."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


class Affinity:
    """The cookies of one client."""

    def __init__(self) -> None:
        self._jars: dict[str, httpx.Cookies] = {}

    def add_to(self, request: httpx.Request) -> None:
        """Gives a request the cookies of its app, and those that are for all."""
        places = dict.fromkeys((_place(request.url.path), EVERYWHERE))
        found = [self._jars[place] for place in places if place in self._jars]
        if len(found) == 1:
            found[0].set_cookie_header(request)
        elif found:
            _together(found).set_cookie_header(request)

    def keep(self, response: httpx.Response) -> None:
        """Takes in what an answer sets, each for the path that it names."""
        if "set-cookie" not in response.headers:
            return
        told = httpx.Cookies()
        told.extract_cookies(response)
        for cookie in told.jar:
            place = _place(cookie.path)
            # Set anew, so that what was used longest ago stands first.
            self._jars[place] = jar = self._jars.pop(place, httpx.Cookies())
            jar.jar.set_cookie(cookie)
        while len(self._jars) > MOST_APPS:
            del self._jars[next(iter(self._jars))]


def _together(jars: Iterable[httpx.Cookies]) -> httpx.Cookies:
    merged = httpx.Cookies()
    for jar in jars:
        for cookie in jar.jar:
            merged.jar.set_cookie(cookie)
    return merged


def _place(path: str) -> str:
    """The app that a path leads into; what leads into none is for all."""
    parts = path.split("/", _APP_PARTS)
    return parts[3] if parts[1:3] == ["v1", "apps"] and len(parts) >= _APP_PARTS else EVERYWHERE
