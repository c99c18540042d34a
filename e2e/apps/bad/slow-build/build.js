setInterval(() => console.log("still building"), 1000);
