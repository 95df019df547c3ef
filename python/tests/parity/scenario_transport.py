"""Requests below the client: executors, handlers, retries and sessions."""

from aistore.sdk.errors import ErrObjNotFound
from aistore.sdk.lock_poller import LockPoller
from aistore.sdk.request_client import RequestClient
from aistore.sdk.request_executor import RequestExecutor
from aistore.sdk.response_handler import AISResponseHandler, ResponseHandler
from aistore.sdk.retry_config import ColdGetConf, RetryConfig
from aistore.sdk.retry_manager import RetryManager
from aistore.sdk.session_manager import SessionManager


class Mine(Exception):
    pass


class MyHandler(ResponseHandler):
    @property
    def exc_class(self):
        return Mine

    def parse_error(self, r):
        return Mine(r.status_code)


def run(client, bucket):
    bucket.object("o").get_writer().put_content(b"content")
    sessions = SessionManager(max_pool_size=2)
    base = client.cluster().get_primary_url() + "/v1"
    executor = RequestExecutor(base, sessions, timeout=(3, 20))
    provider = {"provider": "ais"}
    found = executor.request("GET", f"objects/{bucket.name}/o", params=provider)
    url = f"{base}/objects/{bucket.name}/o?provider=ais"
    absolute = executor.request_absolute("GET", url)
    assert found.content == absolute.content == b"content"
    missing = executor.request("GET", f"objects/{bucket.name}/none", params=provider)
    manager = RetryManager(executor)
    kept = manager.with_retry(executor.request, "GET", f"objects/{bucket.name}/o", params=provider)
    errors = []
    for path in ("none", "o"):
        answer = executor.request("GET", f"objects/{bucket.name}/{path}", params=provider)
        try:
            AISResponseHandler().handle_response(answer)
            errors.append("none")
        except ErrObjNotFound as error:
            errors.append([type(error).__name__, error.status_code])
    mine = RequestClient(base.removesuffix("/v1"), sessions, response_handler=MyHandler())
    plain = mine.clone(response_handler=AISResponseHandler())
    for sender in (mine, plain):
        try:
            sender.request("GET", f"objects/{bucket.name}/none", params=provider)
        except (Mine, ErrObjNotFound) as error:
            errors.append(type(error).__name__)
    return {
        "statuses": [found.status_code, absolute.status_code, missing.status_code],
        "kept": kept.content.decode(),
        "errors": errors,
        "base": mine.base_url == base == executor.base_url,
        "pool": plain.session_manager is sessions,
        "conf": RetryConfig.default().cold_get_conf == ColdGetConf(),
        "names": [LockPoller.__name__],
    }
