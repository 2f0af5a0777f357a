"""Which tags of a source are true of any picture made from it, by number and name (Exif 2.32, DNG 1.7.1)."""

from __future__ import annotations

EXIF_IFD, GPS_IFD, XMP, IPTC, MAKER_NOTE = 34665, 34853, 700, 33723, 37500
MAKE, MODEL, ORIENTATION, SOFTWARE, DATE_TIME = 271, 272, 274, 305, 306
DNG_VERSION, PRIVATE_DATA, MAKER_NOTE_SAFETY = 50706, 50740, 50741
SUBFILE_TYPE, PHOTOMETRIC, SUB_IFDS = 254, 262, 330
CFA, LINEAR_RAW = 32803, 34892

DESCRIPTIVE = {
    270: "ImageDescription", 271: "Make", 272: "Model", 274: "Orientation", 306: "DateTime", 315: "Artist",
    18246: "Rating", 18249: "RatingPercent", 33432: "Copyright", 37393: "ImageNumber", 40091: "XPTitle",
    40092: "XPComment", 40093: "XPAuthor", 40094: "XPKeywords", 40095: "XPSubject",
}  # fmt: skip
"""Tags of the first directory that any kind of output may carry."""

TIFF_EP = {
    33434: "ExposureTime", 33437: "FNumber", 34850: "ExposureProgram", 34855: "ISOSpeedRatings",
    36867: "DateTimeOriginal", 36868: "DateTimeDigitized", 37377: "ShutterSpeedValue", 37378: "ApertureValue",
    37379: "BrightnessValue", 37380: "ExposureBiasValue", 37381: "MaxApertureValue", 37382: "SubjectDistance",
    37383: "MeteringMode", 37384: "LightSource", 37385: "Flash", 37386: "FocalLength",
    37396: "SubjectArea", 41486: "FocalPlaneXResolution", 41487: "FocalPlaneYResolution",
    41488: "FocalPlaneResolutionUnit", 41492: "SubjectLocation", 41493: "ExposureIndex",
    41495: "SensingMethod", 41728: "FileSource", 41729: "SceneType",
}  # fmt: skip
"""EXIF tags that TIFF/EP files keep in the first directory; they move to the Exif directory."""

EXPOSURE = {33434: "ExposureTime", 33437: "FNumber", 34855: "ISOSpeedRatings"}
"""EXIF tags whose 0 means unknown."""

EXIF_OF_PIXELS = {
    37121: "ComponentsConfiguration", 37122: "CompressedBitsPerPixel", 37500: "MakerNote",
    40960: "FlashpixVersion", 40961: "ColorSpace", 40962: "PixelXDimension", 40963: "PixelYDimension",
    40965: "InteroperabilityIFD", 41484: "SpatialFrequencyResponse",
}  # fmt: skip
"""EXIF tags about the source's own pixels and structure: left behind."""

DNG_KEPT = {
    50708: "UniqueCameraModel", 50709: "LocalizedCameraModel", 50721: "ColorMatrix1", 50722: "ColorMatrix2",
    50723: "CameraCalibration1", 50724: "CameraCalibration2", 50727: "AnalogBalance", 50728: "AsShotNeutral",
    50729: "AsShotWhiteXY", 50730: "BaselineExposure", 50731: "BaselineNoise", 50732: "BaselineSharpness",
    50734: "LinearResponseLimit", 50735: "CameraSerialNumber", 50736: "LensInfo", 50739: "ShadowScale",
    50778: "CalibrationIlluminant1", 50779: "CalibrationIlluminant2", 50827: "OriginalRawFileName",
    50831: "AsShotICCProfile", 50832: "AsShotPreProfileMatrix", 50833: "CurrentICCProfile",
    50834: "CurrentPreProfileMatrix", 50879: "ColorimetricReference", 50931: "CameraCalibrationSignature",
    50932: "ProfileCalibrationSignature", 50934: "AsShotProfileName", 50936: "ProfileName",
    50937: "ProfileHueSatMapDims", 50938: "ProfileHueSatMapData1", 50939: "ProfileHueSatMapData2",
    50940: "ProfileToneCurve", 50941: "ProfileEmbedPolicy", 50942: "ProfileCopyright",
    50964: "ForwardMatrix1", 50965: "ForwardMatrix2", 50981: "ProfileLookTableDims",
    50982: "ProfileLookTableData", 51043: "TimeCodes", 51044: "FrameRate", 51058: "TStop", 51081: "ReelName",
    51089: "OriginalDefaultFinalSize", 51090: "OriginalBestQualityFinalSize",
    51091: "OriginalDefaultCropSize", 51105: "CameraLabel", 51107: "ProfileHueSatMapEncoding",
    51108: "ProfileLookTableEncoding",
    51109: "BaselineExposureOffset", 51110: "DefaultBlackRender", 52525: "ProfileGainTableMap",
    52529: "CalibrationIlluminant3", 52530: "CameraCalibration3", 52531: "ColorMatrix3",
    52532: "ForwardMatrix3", 52533: "IlluminantData1", 52534: "IlluminantData2", 52535: "IlluminantData3",
    52537: "ProfileHueSatMapData3", 52543: "RGBTables", 52544: "ProfileGainTableMap2",
    52551: "ProfileDynamicRange",
}  # fmt: skip
"""DNG tags about camera, colour and profile, true of any processing of the same photograph."""

RAW_KEPT = {
    50718: "DefaultScale", 50738: "AntiAliasStrength", 50780: "BestQualityScale", 51125: "DefaultUserCrop",
    52525: "ProfileGainTableMap",
}  # fmt: skip
"""Tags of a DNG's raw directory that hold whatever becomes of its pixel values."""

SELF_CONTAINED_NOTES = (
    b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0", b"PENTAX \0",
)  # fmt: skip
"""How maker's notes begin whose offsets are relative to themselves: they survive a move as they are."""
