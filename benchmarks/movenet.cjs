// Run MoveNet for benchmarks/other_tools.py: node movenet.cjs FOLDER MODEL SIZE
// Reads crops from standard input (length as uint32, then SIZE x SIZE RGB bytes); writes 51 numbers as a JSON line each.
const [folder, model, size] = process.argv.slice(2);
const load = (name) => require(require.resolve(name, { paths: [folder] }));
const fs = require("fs");
const path = require("path");
const tf = load("@tensorflow/tfjs-core");
load("@tensorflow/tfjs-backend-cpu");
const wasm = load("@tensorflow/tfjs-backend-wasm");
const { loadGraphModel } = load("@tensorflow/tfjs-converter");

async function main() {
  wasm.setWasmPaths(path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm", { paths: [folder] })) + "/");
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  const description = JSON.parse(fs.readFileSync(model));
  const files = description.weightsManifest.flatMap((group) => group.paths);
  const bytes = Buffer.concat(files.map((file) => fs.readFileSync(path.join(path.dirname(model), file))));
  const network = await loadGraphModel({
    load: async () => ({
      modelTopology: description.modelTopology,
      weightSpecs: description.weightsManifest.flatMap((group) => group.weights),
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
      signature: description.signature,
    }),
  });
  let buffer = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32LE(0)) {
      const length = buffer.readUInt32LE(0);
      const pixels = Int32Array.from(buffer.subarray(4, 4 + length));
      buffer = buffer.subarray(4 + length);
      const image = tf.tensor4d(pixels, [1, Number(size), Number(size), 3], "int32");
      const output = network.execute(image);
      process.stdout.write(JSON.stringify(Array.from(await output.data())) + "\n");
      image.dispose();
      output.dispose();
    }
  }
}

main();
