"""What every list in pages has in common."""

from __future__ import annotations

import strawberry


@strawberry.type(description="Where a page lies in its list")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more items follow")
    has_previous_page: bool = strawberry.field(description="Whether items precede the page")
    start_cursor: str | None = strawberry.field(description="Cursor of the first item; null on an empty page")
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item; give it as `after` to get the next page. Null on an empty page"
    )
