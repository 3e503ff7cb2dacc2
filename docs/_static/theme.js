// Before anything is drawn: what this browser chose, else what its system says.
document.body.dataset.theme = localStorage.getItem("theme") || "auto";

// What can be scrolled can be reached with the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
