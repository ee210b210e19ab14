// Below its results the search shows lines of the pages found. It fetches them, which browsers
// refuse to a book that is opened from a folder: there, it shows titles only.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

// For keyboards and screen readers, what the theme leaves out: blocks that scroll can be focused,
// headings have a level, landmarks a name, and a signature is not a list of definitions.
const each = (selector, change) => document.querySelectorAll(selector).forEach(change);
each("p.caption[role=heading]", (caption) => caption.setAttribute("aria-level", 2));
each(".sidebar-drawer", (aside) => aside.setAttribute("aria-label", "Contents"));
each(".toc-drawer", (aside) => aside.setAttribute("aria-label", "On this page"));
each("dt.sig dl, dt.sig dd", (part) => part.setAttribute("role", "presentation"));
addEventListener("load", () =>
  each("pre, .cell_output, .table-wrapper", (block) => {
    const folded = block.closest("details:not([open])");
    if (folded || block.scrollWidth > block.clientWidth) block.setAttribute("tabindex", 0);
  }),
);
