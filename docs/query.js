// lunr takes a leading dash for "not": here it begins an option.
const send = Worker.prototype.postMessage;
Worker.prototype.postMessage = function post(message, ...more) {
  const isQuery = typeof message?.data === "string";
  const sent = isQuery ? { ...message, data: message.data.replaceAll(/(^|\s)-+(?=\w)/g, "$1") } : message;
  return send.call(this, sent, ...more);
};
