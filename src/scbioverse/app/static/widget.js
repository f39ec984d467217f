// The page in a notebook: actions go to the kernel as messages. Joined with the other files to one module.
import { mount } from "./page.js";

export default {
  render({ model, el }) {
    let last = 0;
    const waiting = new Map();
    const answer = ({ id, found, error }) => {
      const one = waiting.get(id);
      if (!one) return; // of another view
      waiting.delete(id);
      if (error === undefined) one.done(found);
      else one.failed(new Error(error));
    };
    model.on("msg:custom", answer);
    const call = (action, args = {}) =>
      new Promise((done, failed) => {
        const id = `${Date.now()}-${Math.random()}-${++last}`;
        waiting.set(id, { done, failed });
        model.send({ id, action, args });
      });
    el.dataset.lmSuppressShortcuts = "true"; // keys are the page's, not the notebook's
    el.classList.add("sb-inside");
    mount(el, { call });
    return () => model.off("msg:custom", answer);
  },
};
