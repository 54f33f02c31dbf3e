"use strict";
// What others wrote, as text nodes and never as markup: for this page and that of a review.
// What acts on a reader or is not seen, but for line feeds, tabs and the joiners that words are written with.
const HIDDEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

// A text as nodes: what hides or acts is shown by its number.
function visible(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    nodes.push(text.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    nodes.push(make("span", { class: "hidden-character" }, `U+${code}`));
    from = match.index + match[0].length;
  }
  return [...nodes, text.slice(from)];
}

