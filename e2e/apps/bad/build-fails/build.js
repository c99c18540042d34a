console.error('build.js: can not find the blueprint');
process.exit(3);
