"""A hook of mkdocs for what GitHub reads differently in the pages of docs/.

On GitHub a link out of docs/ opens a file of the repository. The site does not contain these files,
so there the link becomes its text and the path of the file. A path that does not exist is a
warning, which fails the strict build.

In a table, GitHub needs a backslash before a bar inside of code. The site would show it.
"""

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_LOG = logging.getLogger("mkdocs.hooks.site_links")
_LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)#\s]*)(?:#[^)\s]*)?\)")
_ROW = re.compile(r"^\|.*$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Return the text of a page as the site shall have it."""
    folder = Path(page.file.abs_src_path or "").parent
    docs = Path(config.docs_dir).resolve()

    def replaced(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            _LOG.warning("%s links to %s, which does not exist", page.file.src_uri, link[2])
        path = target.relative_to(docs.parent)
        return f"{link[1]} (`{path}`)" if link[1].strip("`") != str(path) else f"`{path}`"

    return _ROW.sub(_bare, _LINK.sub(replaced, markdown))


def _bare(row: re.Match[str]) -> str:
    return re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0])
