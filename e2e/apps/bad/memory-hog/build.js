// Takes memory, outside of V8's own limit, until there is none.
const hoard = [];
for (let megabytes = 64; ; megabytes += 64) {
  hoard.push(Buffer.alloc(64 << 20, 1));
  console.log(`holding ${megabytes} MB`);
}
