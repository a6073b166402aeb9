/* Tables that are wider than their page become one block a row, each cell under the name
   of its column. Long names in cells break where a person would break them. */
(() => {
  const wrappers = () => document.querySelectorAll("article .table-wrapper");

  function nameCells(table) {
    const names = [...table.querySelectorAll("thead th")].map((th) => th.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, column) => {
        const text = cell.textContent.trim();
        if (/^[\d.,]+ \S+$/.test(text)) cell.style.whiteSpace = "nowrap";
        if (text === "") cell.classList.add("blank");
        else if (column > 0 && names[column]) cell.dataset.column = names[column];
      });
    }
  }

  function allowBreaks(code) {
    const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts) {
      const parts = text.data.split(/(?<=[_/.,=&?@])(?=\w)|(?<=\w)(?=::)|(?<=[a-z])(?=[A-Z])/);
      text.replaceWith(...parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part])));
    }
  }

  function fit() {
    for (const wrapper of wrappers()) {
      wrapper.classList.remove("stacked");
      if (wrapper.scrollWidth > wrapper.clientWidth + 1) wrapper.classList.add("stacked");
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const wrapper of wrappers()) {
      nameCells(wrapper.querySelector("table"));
      wrapper.querySelectorAll("td code").forEach(allowBreaks);
    }
    fit();
    window.addEventListener("resize", fit);
  });
})();
