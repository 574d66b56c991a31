// Validates an AsyncAPI document with the project's own parser: node validate.mjs MODULES FILE. Ends with 1 on any error.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modules, file] = process.argv.slice(2);
const { Parser } = createRequire(`${modules}/package.json`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
const errors = diagnostics.filter((each) => each.severity === 0);
for (const each of errors) console.error(`${file}: ${each.path.join(".")}: ${each.message}`);
process.exit(document === undefined || errors.length ? 1 : 0);
