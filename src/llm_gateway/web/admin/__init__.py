"""The admin API: one file per topic, and one line here."""

from typing import Final

from fastapi import APIRouter

ADMIN_ROUTERS: Final[tuple[APIRouter, ...]] = ()
