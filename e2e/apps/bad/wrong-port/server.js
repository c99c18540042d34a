require('node:http').createServer((req, res) => res.end('here\n')).listen(3000, '0.0.0.0', () => console.log('listening on 3000'));
