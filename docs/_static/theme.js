// Before anything is drawn: what this browser chose, else what its system says.
document.body.dataset.theme = localStorage.getItem("theme") || "auto";
