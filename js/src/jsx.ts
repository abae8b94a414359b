// What JSX compiles to in the bundle: smaller than the automatic runtime's calls.
export { Fragment, h } from "preact";
