// Tell Python what is changed by hand, while it is changed; never more than it has time for.

const WAIT_MS = 150;
/** Milliseconds after which a reply will not come any more. */
const LOST_MS = 3_000;

/** @typedef {{after: (ms: number, call: () => void) => void, now: () => number}} Clock */

/** @type {Clock} */
export const BROWSER = {
  after: (ms, call) => void setTimeout(call, ms),
  now: () => performance.now(),
};

/**
 * Send Python a drawing while it is drawn: soon, not at every point, and never while it still works on the last one.
 * @param {(turn: number) => void} send
 * @param {Clock} clock
 * @param {number} turn  number of the last drawing that Python has
 * @param {number} [wait]  milliseconds from a change until it is sent
 * @param {number} [lost]  milliseconds that a reply may take
 */
export function post(send, clock, turn, wait = WAIT_MS, lost = LOST_MS) {
  let changed = false, waiting = false, awaited = 0, since = 0;

  function later() {
    if (waiting) return;
    waiting = true;
    clock.after(wait, () => {
      waiting = false;
      go();
    });
  }

  function go() {
    if (!changed) return;
    // A reply that never comes (a lost connection, an error) must not block the pen for good.
    if (awaited && clock.now() - since < lost) return later();
    changed = false;
    turn += 1;
    [awaited, since] = [turn, clock.now()];
    send(turn);
  }

  return {
    touch() {
      changed = true;
      later();
    },
    /** Send what has changed at once: a stroke is finished. */
    flush: go,
    /** Take note that Python has shown this one. @param {number} shown */
    heard(shown) {
      turn = Math.max(turn, shown);
      if (shown < awaited) return;
      awaited = 0;
      if (changed) later();
    },
  };
}
