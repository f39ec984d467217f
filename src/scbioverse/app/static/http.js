// The page in a browser: actions go to the server that it came from, the file comes as a download.
import { mount } from "./page.js";

async function call(action, args = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${action}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(args),
    });
  } catch {
    throw new Error("The program that serves this page has stopped. Start it again, and open its new link.");
  }
  const found = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function save() {
  const answer = await fetch("/download");
  if (!answer.ok) throw new Error(await answer.text());
  const [, coded, plain] =
    /filename(?:\*=utf-8''(\S+)|="([^"]+)")/.exec(answer.headers.get("Content-Disposition") || "") || [];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = coded ? decodeURIComponent(coded) : plain || "cells.annotated.h5ad";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

mount(document.getElementById("page"), { call, save });
