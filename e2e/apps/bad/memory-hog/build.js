// Takes memory outside of the heap until something stops it.
const kept = []; for (;;) kept.push(Buffer.alloc(64 << 20, 1));
