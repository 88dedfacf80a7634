// `sightline.js` as a module.

import "./sightline.js";

const library = globalThis.Sightline;
library.home ??= new URL(".", import.meta.url).href;

export const { track, returned } = library;
export default library;
