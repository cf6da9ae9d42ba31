"""The application for ASGI servers: `uvicorn llm_gateway.main:app`.

Settings are read when the server starts the application, not at import.
"""

from llm_gateway.assemble import from_environment
from llm_gateway.web.app import create_app

app = create_app(from_environment)
