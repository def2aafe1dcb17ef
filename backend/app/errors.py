"""The answer to a request that cannot be taken as it is."""

import json

from fastapi import Request, Response, status
from fastapi.exceptions import RequestValidationError


async def answer_invalid_request(_request: Request, error: Exception) -> Response:
    """Say what is wrong and where, as FastAPI does, but do not echo the input.

    FastAPI's own handler does, and then fails on what UTF-8 or JSON cannot hold: a lone surrogate, a NaN.
    """
    assert isinstance(error, RequestValidationError)
    detail = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()]
    # ASCII with escapes, because a name in `loc` may be the surrogate.
    return Response(
        json.dumps({"detail": detail}),
        status_code=status.HTTP_422_UNPROCESSABLE_CONTENT,
        media_type="application/json",
    )
