"""Everything runs as an ordinary user: the one who starts it, or the one that root names."""

import os
import pwd
import stat
import sys
from pathlib import Path

from elephant_server.deploy.folders import LOCK_NAME
from elephant_server.errors import StackError
from elephant_server.settings import Settings, variable

ROOT_WARNING = (
    "Warning: everything runs as root. Set ELEPHANT_UID and ELEPHANT_GID to an ordinary user's numbers (`id -u`, "
    "`id -g`), who then owns the workspace; ELEPHANT_UID=0 says that root is intended."
)


def runs_as_root_unasked(settings: Settings) -> bool:
    """Return whether root has started the server without naming a user."""
    return os.geteuid() == 0 and settings.uid is None


def become_user(settings: Settings) -> None:
    """If root has named a user, give the workspace to that user, and become that user.

    The folders exist already.

    Raises
    ------
    StackError
        The user cannot read the programs.
    """
    if os.geteuid() != 0 or not settings.uid:
        return
    uid, gid = settings.uid, _group(settings)
    _hand_over(settings, uid, gid)
    entry = _entry(uid)
    if entry is None:
        os.setgroups([gid])
    else:
        os.initgroups(entry.pw_name, gid)
    os.setgid(gid)
    os.setuid(uid)
    _make_at_home(settings, entry)
    _check_readable(settings)


def _group(settings: Settings) -> int:
    entry = _entry(settings.uid or 0)
    if settings.gid is not None:
        return settings.gid
    return entry.pw_gid if entry else settings.uid or 0


def _entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _hand_over(settings: Settings, uid: int, gid: int) -> None:
    """Give away what root has created in a workspace.

    The run folder shows whether root has run a server: without files of root there is nothing to do.
    """
    run = settings.runtime_dir
    parts = [
        settings.datasets_dir,
        settings.models_dir,
        settings.logs_dir,
        settings.exports_dir,
        settings.secrets_dir,
        run,
    ]
    folders = [folder for folder in dict.fromkeys(parts) if folder.is_dir() and not folder.is_symlink()]
    top = [*folders, settings.workspace, settings.workspace / LOCK_NAME]
    if not any(map(_is_roots, [*top, *run.iterdir()])):
        return
    for folder in folders:  # the run folder last, so that an interrupted start is completed by the next one
        _give_contents(folder, uid, gid)
    for path in filter(_is_roots, top):
        os.chown(path, uid, gid, follow_symlinks=False)


def _is_roots(path: Path) -> bool:
    try:
        return path.lstat().st_uid == 0
    except FileNotFoundError:
        return False


def _give_contents(folder: Path, uid: int, gid: int) -> None:
    """Give away root's files and folders below a folder, without symbolic links and files with other hard links."""
    for _, folders, names, descriptor in os.fwalk(folder):
        for name in (*folders, *names):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if status.st_uid == 0 and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
                os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def _make_at_home(settings: Settings, entry: pwd.struct_passwd | None) -> None:
    """Let libraries put their caches where this user can write."""
    home = entry.pw_dir if entry else ""
    os.environ["HOME"] = home if home and os.access(home, os.W_OK) else str(settings.runtime_dir)
    os.environ["USER"] = os.environ["LOGNAME"] = entry.pw_name if entry else str(settings.uid)
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]


def _check_readable(settings: Settings) -> None:
    needed = (Path(sys.executable), Path(__file__), settings.home / "supervisord.conf")
    for path in needed:
        if not os.access(path, os.R_OK):
            raise StackError(
                f"User {os.geteuid()} cannot read {path}. Put the checkout, its .venv and its Python where "
                f"{variable('uid')} can read them, such as in /opt."
            )
