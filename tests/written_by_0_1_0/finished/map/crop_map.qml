<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="1" label="corn" color="#ffd300" alpha="255" />
        <paletteEntry value="2" label="soybeans" color="#267000" alpha="255" />
        <paletteEntry value="3" label="other" color="#b8b8a0" alpha="255" />
        <paletteEntry value="254" label="not cropland" color="#e4e4e4" alpha="255" />
        <paletteEntry value="255" label="not enough observations" color="#6b6b6b" alpha="255" />
      </colorPalette>
    </rasterrenderer>
    <brightnesscontrast brightness="0" contrast="0" gamma="1" />
    <huesaturation saturation="0" grayscaleMode="0" colorizeOn="0" />
    <rasterresampler maxOversampling="1" />
  </pipe>
  <blendMode>0</blendMode>
</qgis>
