console.error('the sky is falling');
process.exit(1);
