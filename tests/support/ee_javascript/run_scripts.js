// Runs scripts of the Code Editor under node with Google's client, and prints what each of them asks for, as
// JSON: its lines, its layers, and its exports, images as expressions. Nothing is sent.
//
//     node run_scripts.js ALGORITHMS.json SCRIPT.js ...
'use strict';
const fs = require('fs');
const vm = require('vm');
const ee = require('@google/earthengine');

const [algorithms, ...scripts] = process.argv.slice(2);
ee.data.getAlgorithms = () => ee.rpc_convert.algorithms(JSON.parse(fs.readFileSync(algorithms, 'utf8')));
ee.initialize(null, null, null, null, null, 'none');

function run(script) {
  const asked = {printed: [], layers: [], exports: []};
  const given = {
    ee,
    print: (text) => asked.printed.push(text),
    Map: {
      setCenter: (...place) => { asked.center = place; },
      addLayer: (image, style, name, shown) =>
        asked.layers.push({expression: ee.Serializer.encodeCloudApi(image), style, name, shown}),
    },
    Export: {
      image: {
        toDrive: (options) => {
          const {image, ...rest} = options;
          ee.batch.Export.image.toDrive({...options});  // refuses options that it does not know
          asked.exports.push({expression: ee.Serializer.encodeCloudApi(image), ...rest});
        },
      },
    },
  };
  const code = fs.readFileSync(script, 'utf8');
  vm.compileFunction(code, Object.keys(given), {filename: script})(...Object.values(given));
  return asked;
}

process.stdout.write(JSON.stringify(scripts.map(run)));
