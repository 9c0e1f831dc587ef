// A joint run: the row that the reader points at marks its line.

for (const row of document.querySelectorAll(".ranks tr[data-network]")) {
  const line = document.querySelector(`.parallel polyline[data-network="${row.dataset.network}"]`);
  for (const [event, marked] of [["pointerenter", true], ["pointerleave", false]])
    row.addEventListener(event, () => line.classList.toggle("marked", marked));
}
