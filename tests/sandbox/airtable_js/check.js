// Airtable's own client against the local Airtable: node check.js BASE TABLE, with AIRTABLE_ENDPOINT_URL and
// AIRTABLE_API_KEY in the environment. The table holds 130 rows "row 000" to "row 129" with numbers 0 to 129.
"use strict";

const assert = require("node:assert/strict");
const Airtable = require("airtable");

const [baseId, tableName] = process.argv.slice(2);
const table = new Airtable().base(baseId)(tableName);

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return [error.statusCode, error.error];
  }
  throw new Error("this should have been refused");
}

async function listing() {
  const sizes = [];
  await table.select().eachPage((records, next) => {
    sizes.push(records.length);
    next();
  });
  assert.deepEqual(sizes, [100, 30]);

  const first = await table.select({ sort: [{ field: "number", direction: "desc" }], pageSize: 3 }).firstPage();
  assert.deepEqual(first.map((record) => record.get("number")), [129, 128, 127]);

  const some = await table
    .select({ filterByFormula: "AND({number} >= 5, {number} < 8)", fields: ["text"], sort: [{ field: "text" }] })
    .all();
  assert.deepEqual(some.map((record) => record.fields), [{ text: "row 005" }, { text: "row 006" }, { text: "row 007" }]);

  const long = await table.select({ filterByFormula: `OR({text} = 'row 001', {text} = '${"x".repeat(17000)}')` }).all();
  assert.equal(long.length, 1); // moved to POST listRecords by the client

  const limited = await table.select({ maxRecords: 105, view: "Grid view" }).all();
  assert.equal(limited.length, 105);
}

async function writing() {
  const made = await table.create({ text: "made", number: 1.5 });
  assert.equal((await table.find(made.id)).get("text"), "made");

  const updated = await table.update(made.id, { text: "updated" });
  assert.deepEqual(updated.fields, { text: "updated", number: 1.5 });
  const replaced = await table.replace(made.id, { number: 2 });
  assert.deepEqual(replaced.fields, { number: 2 });

  const batch = await table.create([{ fields: { text: "a" } }, { fields: { text: "b", stage: "Fresh" } }], { typecast: true });
  assert.deepEqual(batch.map((record) => record.get("stage")), [undefined, "Fresh"]);
  const changed = await table.update(batch.map((record) => ({ id: record.id, fields: { number: 9 } })));
  assert.deepEqual(changed.map((record) => record.get("number")), [9, 9]);
  const cleared = await table.replace(batch.map((record) => ({ id: record.id, fields: { text: "only" } })));
  assert.deepEqual(cleared.map((record) => record.fields), [{ text: "only" }, { text: "only" }]);

  const gone = await table.destroy(batch.map((record) => record.id));
  assert.deepEqual(gone.map((record) => record.id), batch.map((record) => record.id));
  await table.destroy(made.id);
  assert.deepEqual(await refused(table.find(made.id)), [404, "NOT_FOUND"]);
}

async function errors() {
  assert.deepEqual(await refused(table.create({ stage: "Unknown" })), [422, "INVALID_MULTIPLE_CHOICE_OPTIONS"]);
  assert.deepEqual(await refused(table.create({ nope: 1 })), [422, "UNKNOWN_FIELD_NAME"]);
  assert.deepEqual(await refused(table.select({ filterByFormula: "{nope}" }).all()), [422, "INVALID_FILTER_BY_FORMULA"]);
  const elsewhere = new Airtable().base(baseId)("Nowhere");
  assert.deepEqual(await refused(elsewhere.select().all()), [403, "NOT_AUTHORIZED"]);
  const stranger = new Airtable({ apiKey: "pat-wrong" }).base(baseId)(tableName);
  assert.deepEqual(await refused(stranger.select().all()), [401, "AUTHENTICATION_REQUIRED"]);
}

(async () => {
  await listing();
  await writing();
  await errors();
  console.log("all checks passed");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
