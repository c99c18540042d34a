'use strict';

const { S3Client, PutObjectCommand, GetObjectCommand } = require('@aws-sdk/client-s3');
const https = require('node:https');

module.exports = (c) => {
  const client = new S3Client({
    endpoint: c.endpoint, region: c.region, forcePathStyle: c.path_style,
    credentials: { accessKeyId: c.access_key_id, secretAccessKey: c.secret_access_key },
    requestHandler: { httpsAgent: new https.Agent({ ca: c.ca_certificate, keepAlive: true }), connectionTimeout: 5000 },
  });
  const where = { Bucket: c.bucket, Key: 'canary/row' };
  return {
    write: (value) => client.send(new PutObjectCommand({ ...where, Body: value })),
    async read() {
      try {
        return await (await client.send(new GetObjectCommand(where))).Body.transformToString();
      } catch (err) {
        if (err.name === 'NoSuchKey') return undefined;
        throw err;
      }
    },
  };
};
