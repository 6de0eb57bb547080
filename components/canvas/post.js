// Send Python a drawing while it is drawn: soon, not at every point, and never while it still works on the last one.

const WAIT_MS = 150;
const LOST_MS = 3_000;

/**
 * @typedef {{after: (ms: number, call: () => void) => void, now: () => number}} Clock
 * @param {(turn: number) => void} send
 * @param {Clock} clock
 * @param {number} turn  number of the last drawing that Python has
 */
export function post(send, clock, turn) {
  let changed = false, waiting = false, awaited = 0, since = 0;

  function later() {
    if (waiting) return;
    waiting = true;
    clock.after(WAIT_MS, () => {
      waiting = false;
      go();
    });
  }

  function go() {
    if (!changed) return;
    // A reply that never comes (a lost connection, an error) must not block the pen for good.
    if (awaited && clock.now() - since < LOST_MS) return later();
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
    /** Take note that Python has shown this one. @param {number} shown */
    heard(shown) {
      turn = Math.max(turn, shown);
      if (shown < awaited) return;
      awaited = 0;
      if (changed) later();
    },
  };
}
