require('node:http').createServer((req, res) => res.end('here\n')).listen(Number(process.env.PORT), '0.0.0.0', () => console.log('listening'));
