// Takes ten minutes, or as many seconds as SLOW_BUILD_SECONDS says.
const end = Date.now() + 1000 * (Number(process.env.SLOW_BUILD_SECONDS) || 600);
const timer = setInterval(() => {
  console.log(`still building, ${Math.ceil((end - Date.now()) / 1000)} s to go`);
  if (Date.now() >= end) clearInterval(timer);
}, 1000);
