//: settings

// ---- 1. Where and when scenes are looked for ----------------------------------------------------------

// The box of a tile in longitude and latitude, some degrees wider on each side.
function searchBox(tile, margin) {
  return ee.Geometry.BBox(tile.west - margin, tile.south - margin, tile.east + margin, tile.north + margin);
}

// The scenes of a tile with all their days, and their Cloud Score+, one image a scene. Scores are looked for
// a degree further, so that no scene loses its score.
function imagesOf(tile) {
  return {
    scenes: ee.ImageCollection(SENTINEL_2).filterBounds(searchBox(tile, SEARCH_MARGIN)),
    scores: ee.ImageCollection(CLOUD_SCORE).filterBounds(searchBox(tile, SEARCH_MARGIN + SCORE_MARGIN))
  };
}

// The text of the instant, in UTC, at which a day begins that is counted from the first day of the season.
function dayText(number) {
  var hours = 24 * number - HOURS_AHEAD;
  return new Date(Date.parse(SEASON_START) + hours * 3600000).toISOString().slice(0, 19);
}

// The images of a collection from one day until, not including, another.
function between(images, start, end) {
  return images.filterDate(dayText(start), dayText(end));
}

// ---- 2. Observations: one image a scene, masked where it does not count -------------------------------

// A scene where it is clear and valid in every band: an observation is whole or absent. Values beyond 16 bits
// are cut. `order` sorts the scenes of a day by acquisition time, then by id.
function observation(scene, clear) {
  var values = scene.select(BANDS);
  var whole = values.mask().reduce(ee.Reducer.min());
  var time = scene.get('system:time_start');
  var order = ee.Date(time).format('yyyyMMddHHmmssSSS').cat(' ').cat(ee.String(scene.get('system:index')));
  return values.updateMask(whole).updateMask(clear).clamp(SMALLEST, LARGEST).toInt16()
      .set('system:time_start', time)
      .set('order', order);
}

// All observations from one day until another.
function observationsOf(images, start, end) {
  var scenes = between(images.scenes, start, end);
  var scores = between(images.scores, start - 1, end + 1);  // also around midnight
  // Cloud Score+ decides what is clear.
  var byScore = scenes.linkCollection(scores, [SCORE_BAND]).map(function(scene) {
    return observation(scene, scene.select([SCORE_BAND]).gte(LEAST_CLEAR));
  });
//: when scl
  // Where a scene has no Cloud Score+, its scene classes (SCL) decide.
  var same = ee.Filter.equals({leftField: 'system:index', rightField: 'system:index'});
  var withoutScore = ee.ImageCollection(ee.Join.inverted().apply(scenes, scores, same));
  var ones = CLEAR_CLASSES.map(function() { return 1; });
  var byClasses = withoutScore.map(function(scene) {
    return observation(scene, scene.select(['SCL']).remap(CLEAR_CLASSES, ones, 0));
  });
  return byScore.merge(byClasses);
//: when no-scl
  return byScore;
//: always
}

// ---- 3. Composites: the median of each bin of days ----------------------------------------------------

// One fully masked image: a day or a bin without any scene keeps its bands by it.
var ZEROS = BANDS.map(function() { return 0; });
var BLANK = ee.ImageCollection([
  ee.Image.constant(ZEROS).rename(BANDS).toInt16().updateMask(0).set('order', '')
]);

// The observations of one day count once: the last one lies on top.
function dayImage(observations, number) {
  return between(observations, number, number + 1).merge(BLANK).sort('order').mosaic();
}

// The medians of one bin, halves rounded up, masked where no day has an observation.
function composite(images, bin) {
  var first = bin * BIN_DAYS;
  var observations = observationsOf(images, first, first + BIN_DAYS);
  var days = [];
  for (var i = 0; i < BIN_DAYS; i++) {
    days.push(dayImage(observations, first + i));
  }
  return ee.ImageCollection(days).median().rename(BANDS).add(0.5).floor();
}

// The composites of all bins of the season's window, in order.
function compositesOf(tile) {
  var images = imagesOf(tile);
  var composites = [];
  for (var bin = FIRST_BIN; bin <= LAST_BIN; bin++) {
    composites.push(composite(images, bin));
  }
  return composites;
}

// How many bins of a pixel have an observation.
function observedBins(composites) {
  return ee.ImageCollection(composites.map(function(image) {
    return image.select([0]).mask().gt(0).rename(['clear']);
  })).sum();
}

// ---- 4. Gaps: a straight line in time between the observations around ---------------------------------

// The last valid pixel of some images until each of them. Neighbours are joined to pairs, pairs to fours, so
// that no image stands on a long chain of others.
function lastSeen(images) {
  if (images.length === 1) {
    return images;
  }
  var pairs = [];
  for (var i = 0; i + 1 < images.length; i += 2) {
    pairs.push(images[i + 1].unmask(images[i], false));
  }
  var joined = lastSeen(pairs);
  return images.map(function(image, i) {
    if (i % 2 === 1) { return joined[(i - 1) / 2]; }
    return i === 0 ? image : image.unmask(joined[i / 2 - 1], false);
  });
}

// Names of the bands of an observation with the number of its bin; before and after a bin.
var BEFORE = BANDS.concat(['at']);
var AFTER = BEFORE.map(function(name) { return name + '_after'; });

// The values of bin `number` on the line between two observations; where one is masked, the other one holds.
function betweenTwo(pair) {
  var before = pair.select(BEFORE);
  var after = pair.select(AFTER, BEFORE);
  var left = before.unmask(after, false);
  var rise = after.unmask(before, false).toDouble().subtract(left);
  var passed = ee.Image.constant(ee.Number(pair.get('number'))).subtract(left.select(['at']));
  var value = rise.multiply(passed).divide(rise.select(['at']).max(1)).add(left);
//: when forest
  // Whole numbers. 0.501 instead of 0.5: a half is rounded up, also where it was computed a little too small.
  return value.select(BANDS).add(0.501).floor().toInt16();
//: when network
  return value.select(BANDS);
//: always
}

// The composites without gaps: an image a bin. Before the first and after the last observation the nearest
// one holds. A pixel that was never observed stays masked.
function filled(composites) {
  var dated = composites.map(function(image, i) {
    return image.addBands(ee.Image.constant(i).rename(['at'])).updateMask(image.select([0]).mask());
  });
  var before = lastSeen(dated);
  var after = lastSeen(dated.map(function(image) { return image.rename(AFTER); }).reverse()).reverse();
  return ee.ImageCollection(before.map(function(image, i) {
    return image.addBands(after[i]).set('number', i);
  })).map(betweenTwo);
}

//: when forest
// ---- 5. Features: what the trees look at --------------------------------------------------------------

//: when median
// The filled medians themselves, as bands B2_24, B3_24, ...
function featuresOf(composites) {
  var names = [];
  for (var bin = FIRST_BIN; bin <= LAST_BIN; bin++) {
    BANDS.forEach(function(band) { names.push(band + '_' + bin); });
  }
  return filled(composites).toBands().rename(names).toFloat();
}

//: when harmonic
// A band, or the green chlorophyll vegetation index x 10,000, of all bins.
function variable(series, name) {
  if (name !== 'GCVI') {
    return series.select([name]).toBands();
  }
  return series.map(function(image) {
    var green = image.select(['B3']).max(DARKEST_GREEN * REFLECTANCE_SCALE);
    return image.select(['B8']).divide(green).subtract(1).multiply(REFLECTANCE_SCALE);
  }).toBands();
}

// Least squares with a constant and three waves: each coefficient is a weighted sum over the bins. They are
// counted in whole ten-thousandths.
function featuresOf(composites) {
  var series = filled(composites);
  var sums = [];
  var names = [];
  VARIABLES.forEach(function(name) {
    var values = variable(series, name);
    COEFFICIENTS.forEach(function(coefficient, k) {
      sums.push(values.multiply(ee.Image.constant(WEIGHTS[k])).reduce(ee.Reducer.sum()));
      names.push(name + '_' + coefficient);
    });
  });
  return ee.Image.cat(sums).add(HALF_UP).floor().rename(names).toFloat();
}

//: when forest
// ---- 6. The forest ------------------------------------------------------------------------------------

//: when trees-classifier
// The classifiers as they were deployed.
function classifiers() {
  return ASSETS.map(function(id) { return ee.Classifier.load(id); });
}

//: when trees-table
// The classifiers from tables of trees, one tree a feature; in the tables '#' stands for the end of a line.
function classifiers() {
  var rows = ee.FeatureCollection(ASSETS.map(function(id) { return ee.FeatureCollection(id); })).flatten();
  var made = [];
  for (var number = 0; number < ENSEMBLES; number++) {
    var trees = rows.filter(ee.Filter.eq('ensemble', number)).sort('index').aggregate_array('tree')
        .map(function(text) { return ee.String(text).replace(LINE_END, '\n', 'g'); });
    made.push(ee.Classifier.decisionTreeEnsemble(trees).setOutputMode(OUTPUT_MODE));
  }
  return made;
}

//: when trees-inline
// The classifiers from the trees above.
function classifiers() {
  return TREES.map(function(trees) {
    return ee.Classifier.decisionTreeEnsemble(trees).setOutputMode(OUTPUT_MODE);
  });
}

//: when votes
// How many trees vote for each class, one image a class.
function strengths(composites) {
  // An array: the code that each tree votes for.
  var votes = featuresOf(composites).classify(classifiers()[0]);
  return CLASSES.map(function(crop) {
    return votes.eq(crop.code).toInt32().arrayReduce(ee.Reducer.sum(), [0]).arrayGet([0]);
  });
}

//: when probability
// The sum of the shares of each class in the leaves of all trees, in ten-thousandths, one image a class.
function strengths(composites) {
  var features = featuresOf(composites);
  return classifiers().map(function(classifier) {
    return features.classify(classifier).multiply(TREES_OF_FOREST).round();
  });
}

//: when network
// ---- 5. Input: the matrix of bands and bins -----------------------------------------------------------

// What the network computes of a pixel is an array. An array of the same numbers at every pixel.
function constant(numbers) {
  return ee.Image.constant(ee.Array(numbers)).toDouble();
}

// The numbers of an array in another shape; the last axis runs fastest.
function reshaped(array, shape) {
  return array.arrayReshape(ee.Image.constant(ee.Array(shape)), shape.length);
}

// The values of one bin, scaled as in training.
function scaled(image) {
  return image.toDouble().multiply(ee.Image.constant(FACTOR)).add(ee.Image.constant(OFFSET));
}

// The input of the network, an array of one channel: (1, band, bin).
function matrixOf(composites) {
  var values = filled(composites).map(scaled).toBands().toArray();  // bin after bin
  var matrix = reshaped(values, [INPUT.columns, INPUT.rows]).arrayTranspose();
  return reshaped(matrix, [1, INPUT.rows, INPUT.columns]);
}

// ---- 6. The network: convolutions of 3 x 3, a mean, one linear layer -----------------------------------
//
// Between two layers a pixel is an array (channel, row, column): rows came from bands, columns from bins.

//: when weights-inline
// The weights of a layer: a row a channel that it gives, the bias last.
function weightsOf(layer) {
  var rows = WEIGHTS.filter(function(row) { return row.layer === layer; });
  return constant(rows.map(function(row) { return row.values; }));
}

//: when weights-table
// The weights of a layer: a row a channel that it gives, the bias last. In the tables each row is a text.
function weightsOf(layer) {
  var tables = ASSETS.map(function(id) { return ee.FeatureCollection(id); });
  var texts = ee.FeatureCollection(tables).flatten()
      .filter(ee.Filter.eq('model', MODEL)).filter(ee.Filter.eq('layer', layer))
      .sort('row').aggregate_array('values');
  return constant(texts.map(function(text) {
    return ee.String(text).split(SEPARATOR)
        .map(function(number) { return ee.Number.parse(ee.String(number)); });
  }));
}

//: when network
// An array (channel, row, column) that holds one number everywhere.
function everywhere(number, channels, rows, columns) {
  return constant(ee.Array([[[number]]]).repeat(0, channels).repeat(1, rows).repeat(2, columns));
}

// Arrays one behind the other along an axis. Halves are joined, so that no array stands on a long chain.
function joined(arrays, axis) {
  if (arrays.length === 1) {
    return arrays[0];
  }
  var half = Math.ceil(arrays.length / 2);
  return joined(arrays.slice(0, half), axis).arrayCat(joined(arrays.slice(half), axis), axis);
}

// An array with zeros around: a row above and below, a column on the left and on the right.
function padded(array, size) {
  var row = everywhere(0, size.channels, 1, size.columns);
  var column = everywhere(0, size.channels, size.rows + 2, 1);
  return joined([column, joined([row, array, row], 1), column], 2);
}

// What a convolution sees: the 9 places around each position as 9 times the channels, and a channel of ones,
// by which the bias is multiplied. An array (channel, position).
function seenBy(layer, array, size) {
  var wide = padded(array, size);
  var places = [];
  for (var i = 0; i < 3; i++) {
    var rows = wide.arraySlice(1, i, i + layer.stride * (layer.rows - 1) + 1, layer.stride);
    for (var j = 0; j < 3; j++) {
      places.push(rows.arraySlice(2, j, j + layer.stride * (layer.columns - 1) + 1, layer.stride));
    }
  }
  places.push(everywhere(1, 1, layer.rows, layer.columns));
  return reshaped(joined(places, 0), [9 * size.channels + 1, layer.rows * layer.columns]);
}

// The logits, one band a class: all convolutions with 0 in place of negative numbers, the mean of each
// channel, and the linear layer.
function logitsOf(composites) {
  var array = matrixOf(composites);
  var size = INPUT;
  LAYERS.forEach(function(layer, number) {
    var product = weightsOf(number).matrixMultiply(seenBy(layer, array, size)).max(0);
    array = reshaped(product, [layer.channels, layer.rows, layer.columns]);
    size = layer;
  });
  var positions = size.rows * size.columns;
  var sums = reshaped(array, [size.channels, positions]).arrayReduce(ee.Reducer.sum(), [1]);
  var head = joined([sums.divide(positions), constant([[1]])], 0);
  var names = CLASSES.map(function(crop) { return 'logit_' + crop.code; });
  return weightsOf(LAYERS.length).matrixMultiply(head).arrayProject([0]).arrayFlatten([names]);
}

// How likely each class is: the softmax of the logits in parts of WHOLE, one image a class.
function strengths(composites) {
  var logits = logitsOf(composites);
  var raised = logits.subtract(logits.reduce(ee.Reducer.max())).divide(TEMPERATURE).exp();
  var parts = raised.divide(raised.reduce(ee.Reducer.sum())).multiply(WHOLE).round();
  return CLASSES.map(function(crop, k) { return parts.select([k]); });
}

//: when votes probability network
// The class with the largest strength, of equal ones the smaller code, and its strength in percent.
function decided(composites) {
  var all = strengths(composites);
  var best = all[0];
  var code = ee.Image.constant(CLASSES[0].code);
  for (var k = 1; k < all.length; k++) {
    code = code.where(all[k].gt(best), CLASSES[k].code);
    best = best.max(all[k]);
  }
  var confidence = best.multiply(100).divide(WHOLE).add(0.5).floor();
//: when plain
  return ee.Image.cat([code.updateMask(best.mask()), confidence]).rename(['class', 'confidence']);
}
//: when layers
  var answers = [code.updateMask(best.mask()), confidence].concat(layersOf(all, code, best));
  return ee.Image.cat(answers).rename(['class', 'confidence'].concat(LAYER_BANDS));
}

// The layers on request, from the strengths of all classes.
function layersOf(all, code, best) {
  var layers = [];
//: when second margin
  // The largest strength of the other classes, of equal ones the smaller code.
  var others = all.map(function(strength, k) { return strength.where(code.eq(CLASSES[k].code), -1); });
  var second = ee.Image.constant(CLASSES[0].code);
  var runnerUp = others[0];
  for (var k = 1; k < others.length; k++) {
    second = second.where(others[k].gt(runnerUp), CLASSES[k].code);
    runnerUp = runnerUp.max(others[k]);
  }
//: when second
  layers.push(second.updateMask(runnerUp.gte(0)));
//: when margin
  layers.push(best.subtract(runnerUp.max(0)).multiply(100).divide(WHOLE).add(0.5).floor());
//: when entropy
  var nats = ee.Image.cat(all.map(function(strength) {
    var share = strength.divide(WHOLE);
    return share.max(1e-30).log().multiply(share);
  })).reduce(ee.Reducer.sum());
  layers.push(nats.multiply(ENTROPY_FACTOR).add(HALF_AND_MORE).floor());
//: when probabilities
  all.forEach(function(strength) {
    layers.push(strength.multiply(100).divide(WHOLE).add(0.5).floor());
  });
//: when applicability
  layers.push(unlikeness(all));
//: when sets members
  var members = all.map(function(strength, k) {
    return ee.Image.constant(1).subtract(strength.divide(WHOLE)).lte(SET_LIMITS[k]).toInt32();
  });
//: when sets
  layers.push(ee.Image.cat(members).reduce(ee.Reducer.sum()));
//: when members
  members.forEach(function(member) { layers.push(member); });
//: when layers
  return layers;
}

//: when applicability
// How far the answer is from the nearest mean answer of a class in training, 100 at the model's limit.
function unlikeness(all) {
  var logs = ee.Image.cat(all.map(function(strength) {
    return strength.divide(WHOLE).max(LEAST_PROBABILITY).log();
  }));
  var answer = logs.subtract(logs.reduce(ee.Reducer.mean()));
  var squares = MEANS.map(function(mean) {
    var away = answer.subtract(ee.Image.constant(mean)).toArray().toArray(1);  // a column
    var square = away.arrayTranspose().matrixMultiply(constant(PRECISION)).matrixMultiply(away);
    return square.arrayGet([0, 0]);
  });
  var nearest = ee.Image.cat(squares).reduce(ee.Reducer.min());
  return nearest.max(0).sqrt().multiply(AT_LIMIT).divide(LIMIT).min(MOST_UNLIKE).ceil();
}

//: when none
// The class by Earth Engine's own vote; how it decides between classes of equal votes is not documented.
function decided(composites) {
  var code = featuresOf(composites).classify(classifiers()[0]);
  return ee.Image.cat([code, code.multiply(0).add(NO_VALUE)]).rename(['class', 'confidence']);
}

//: always
// ---- 7. The map of a tile -----------------------------------------------------------------------------

//: when cropland
// Where ESA WorldCover sees cropland: 1, elsewhere 0.
function cropland() {
  return ee.ImageCollection(WORLDCOVER).first().select(['Map']).eq(CROPLAND_CLASS).unmask(0, false);
}

//: always
// Bands of whole numbers 0 to 255: class, confidence in percent, number of observed bins, and layers.
function predictionOf(tile) {
  var composites = compositesOf(tile);
  var clear = observedBins(composites);
  var answer = decided(composites).updateMask(clear.gte(Math.max(MIN_CLEAR_BINS, 1)));
  var code = answer.select(['class']).unmask(NOT_ENOUGH, false);
  var confidence = answer.select(['confidence']).unmask(NO_VALUE, false);
//: when cropland
  var other = cropland().not();
  code = code.where(other, NOT_CROPLAND);
  confidence = confidence.where(other, NO_VALUE);
  clear = clear.where(other, NO_VALUE);
//: when no-layers
  return ee.Image.cat([code, confidence, clear]).rename(['class'].concat(VALUE_BANDS)).toByte();
//: when layers
  var more = answer.select(LAYER_BANDS).unmask(NO_VALUE, false).where(code.eq(NOT_CROPLAND), NO_VALUE);
  return ee.Image.cat([code, confidence, clear, more]).rename(['class'].concat(VALUE_BANDS)).toByte();
//: always
}

// The same within the area; outside, the class is 0.
function mapOf(tile) {
  var image = predictionOf(tile);
//: when area
  var area = ee.Geometry.MultiPolygon(AREA, CRS, false);
  image = ee.Image.cat([
    image.select(['class']).clip(area).unmask(OUTSIDE, false),
    image.select(VALUE_BANDS).clip(area).unmask(NO_VALUE, false)
  ]).toByte();
//: always
  // With these properties, the Code Editor shows an exported asset in the right colours.
  return image.set({
    'class_class_values': LEGEND.map(function(entry) { return entry.code; }),
    'class_class_names': LEGEND.map(function(entry) { return entry.name; }),
    'class_class_palette': LEGEND.map(function(entry) { return entry.color.slice(1); })
  });
}

// ---- 8. Show and export -------------------------------------------------------------------------------

// One task per tile, on exactly the pixels of the grid. To write to a bucket or an asset use
// Export.image.toCloudStorage or Export.image.toAsset with the same crs, crsTransform and dimensions.
function exportTile(tile, image) {
  Export.image.toDrive({
    image: image,
    description: NAME + '_' + tile.name,
    fileNamePrefix: NAME + '_' + tile.name,
    folder: FOLDER,
    crs: CRS,
    crsTransform: [PIXEL_SIZE, 0, tile.left, 0, -PIXEL_SIZE, tile.top],
    dimensions: tile.width + 'x' + tile.height,
    maxPixels: 1e13,
//: when network
    shardSize: SQUARE,
//: always
    fileFormat: 'GeoTIFF',
    formatOptions: {cloudOptimized: true}
  });
}

// A layer that is computed when it is ticked; zoom in first, for all composites are computed for the view.
function showTile(tile, image) {
  var crops = image.select(['class']);
  var palette = CLASSES.map(function(crop) { return crop.color; });
  var shown = crops.updateMask(crops.gt(OUTSIDE).and(crops.lte(CLASSES.length)));
  Map.addLayer(shown, {min: 1, max: CLASSES.length, palette: palette}, tile.name, false);
}

LEGEND.forEach(function(entry) { print(entry.code + '  ' + entry.name + '  ' + entry.color); });
Map.setCenter((TILES[0].west + TILES[0].east) / 2, (TILES[0].south + TILES[0].north) / 2, 13);
TILES.forEach(function(tile, i) {
  var image = mapOf(tile);
  if (i < MOST_SHOWN) { showTile(tile, image); }
  exportTile(tile, image);
});
