package larqnets;

import android.graphics.Bitmap;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What holds on a desktop JVM with the library for Android, check by check: arguments are the folder of assets and names of
 * checks. Prints the name of every one that holds.
 */
final class Checks {
    static final int[] DIGIT = new int[64];

    private static Path folder;
    private static Assets digits;
    private static Assets nuclei;
    private static Assets bccd;

    private Checks() {}

    public static void main(String[] arguments) throws Exception {
        folder = Paths.get(arguments[0]);
        digits = open("digits");
        nuclei = open("nuclei");
        bccd = open("bccd");
        for (int i = 0; i < DIGIT.length; i++) {
            DIGIT[i] = 0xFF000000 | 0x010101 * (i * 37 % 256);
        }
        Map<String, Told.Act> checks = new LinkedHashMap<>();
        checks.put("buffers", Checks::buffers);
        checks.put("models", Checks::models);
        checks.put("places", Checks::places);
        checks.put("closed", Checks::closed);
        checks.put("metadata", Checks::metadata);
        checks.put("pictures", Checks::pictures);
        checks.put("bitmaps", Checks::bitmaps);
        checks.put("memory", Checks::memory);
        checks.put("wide", Checks::wide);
        checks.put("options", Checks::options);
        checks.put("about", Checks::about);
        checks.put("wrong thread", () -> Many.wrongThread(digits));
        checks.put("four threads", () -> Many.fourThreads(digits, bccd));
        checks.put("1000 interpreters", () -> Many.thousand(digits));
        checks.put("leaks", () -> Many.leaks(digits, content("digits")));
        for (Map.Entry<String, Told.Act> check : checks.entrySet()) {
            check.getValue().run();
            System.out.println(check.getKey());
        }
    }

    private static Assets open(String name) throws IOException {
        return Assets.open(new FolderAssets(folder.toString()), name);
    }

    private static byte[] content(String name) throws IOException {
        return Files.readAllBytes(folder.resolve(name + ".tflite"));
    }

    static ByteBuffer direct(byte[] content) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(content.length);
        buffer.put(content).flip();
        return buffer;
    }

    private static void buffers() {
        try (Interpreter interpreter = new Interpreter(digits.model())) {
            Tensor in = interpreter.inputs().get(0);
            Tensor out = interpreter.outputs().get(0);
            ByteBuffer input = in.allocate();
            ByteBuffer output = out.allocate();
            Told.argument("The buffer of input 0 is not direct", () -> interpreter.run(ByteBuffer.allocate(256), output));
            Told.argument("The buffer of output 0 is not direct", () -> interpreter.run(input, ByteBuffer.allocate(40)));
            Told.argument("input 0 is null", () -> interpreter.run(null, output));
            Told.argument(
                    "The buffer of input 0 has 255 bytes from its position to its limit, and float32 [1, 8, 8, 1] takes 256",
                    () -> interpreter.run(ByteBuffer.allocateDirect(255).order(ByteOrder.nativeOrder()), output));
            ByteBuffer filled = in.allocate();
            filled.asFloatBuffer().put(new float[64]);
            filled.putFloat(0);
            Told.argument("has 252 bytes", () -> interpreter.run(filled, output));
            Told.argument("output 0 has 44 bytes", () -> interpreter.run(input, ByteBuffer.allocateDirect(44)));
            Told.argument("has the byte order BIG_ENDIAN", () -> interpreter.run(ByteBuffer.allocateDirect(256), output));
            Told.argument("is read-only", () -> interpreter.run(input, output.asReadOnlyBuffer().order(ByteOrder.nativeOrder())));
            ByteBuffer[] two = {input, input};
            Told.argument("1 inputs, and there are 2 buffers", () -> interpreter.run(two, new ByteBuffer[] {output}));
            Told.argument("1 outputs, and there are 0", () -> interpreter.run(new ByteBuffer[] {input}, new ByteBuffer[0]));
            // What Java looks after is looked at natively, too.
            Told.argument("that it does not have", () -> Native.create(input, 200, 57, 1, true, false));
            Told.argument("that it does not have", () -> Native.create(null, 0, 8, 1, true, false));
            interpreter.run(input.asReadOnlyBuffer().order(ByteOrder.nativeOrder()), output);
            Told.that(input.position() == 0 && output.position() == 0, "the positions moved");
        }
    }

    private static void models() throws IOException {
        byte[] content = content("digits");
        Told.argument("The model's buffer is not direct", () -> new Interpreter(ByteBuffer.wrap(content)));
        Told.argument("The model's buffer is null", () -> new Interpreter(null));
        ByteBuffer read = direct(content);
        read.position(read.limit());
        Told.argument("The model's buffer is empty", () -> new Interpreter(read));
        Told.argument("This is not a .tflite file", () -> new Interpreter(direct(new byte[5000])));
        byte[] half = Arrays.copyOf(content, content.length / 2);
        Told.argument("", () -> new Interpreter(direct(half)));
        String text = new String(content, StandardCharsets.ISO_8859_1);
        byte[] unknown = text.replace("LceBconv2d", "LceB\u00e4\u0001nv2d").getBytes(StandardCharsets.ISO_8859_1);
        Told.argument("LceB??nv2d", () -> new Interpreter(direct(unknown)));
        byte[] renamed = text.replace("serving_default_image", "\u00ffer\u00c0ing_default\u0001image").getBytes(StandardCharsets.ISO_8859_1);
        try (Interpreter interpreter = new Interpreter(direct(renamed))) {
            Told.that(interpreter.inputs().get(0).name.contains("ing_default"), "a name of any bytes");
        }
    }

    /** A model that lies in a file or in the middle of a buffer answers the same. */
    private static void places() throws IOException {
        String usual = answer(digits.model());
        byte[] content = content("digits");
        ByteBuffer middle = ByteBuffer.allocateDirect(content.length + 20);
        middle.position(7);
        middle.put(content);
        middle.position(7).limit(7 + content.length);
        Told.that(answer(middle).equals(usual), "in the middle of a buffer");
        Told.that(answer(middle.slice()).equals(usual), "a part of a buffer");
        try (FileChannel file = FileChannel.open(folder.resolve("digits.tflite"))) {
            ByteBuffer mapped = file.map(FileChannel.MapMode.READ_ONLY, 0, file.size());
            Told.that(answer(mapped).equals(usual), "a mapped file");
        }
    }

    private static String answer(ByteBuffer model) {
        try (Classifier classifier = new Classifier(model, digits.metadata())) {
            return classifier.classify(DIGIT, 8, 8).toString();
        }
    }

    private static void closed() {
        Interpreter interpreter = new Interpreter(digits.model());
        ByteBuffer input = interpreter.inputs().get(0).allocate();
        ByteBuffer output = interpreter.outputs().get(0).allocate();
        interpreter.close();
        interpreter.close();
        Told.state("The interpreter is closed", () -> interpreter.run(input, output));
        Told.that(interpreter.outputs().size() == 1, "what it was can still be read");
        Classifier classifier = new Classifier(digits.model(), digits.metadata());
        classifier.close();
        classifier.close();
        Told.state("The interpreter is closed", () -> classifier.classify(DIGIT, 8, 8));
    }

    private static void metadata() throws IOException {
        Told.argument("The task of", () -> new Segmenter(digits.model(), digits.metadata()));
        Told.argument("is detection, not classification", () -> new Classifier(bccd.model(), bccd.metadata()));
        Told.argument("is for no segmentation", () -> new Segmenter(digits.model(), nuclei.metadata()));
        Told.argument("is for no detection", () -> new Detector(digits.model(), bccd.metadata()));
        Told.argument("is for no classification", () -> new Classifier(nuclei.model(), digits.metadata()));
        Told.argument("score must lie between 0 and 1", () -> new Detector(bccd.model(), bccd.metadata(), new Options(), 1.5, 0.5));
        Told.argument("iou must lie", () -> new Detector(bccd.model(), bccd.metadata(), new Options(), 0.5, Double.NaN));
        String text = new String(Files.readAllBytes(folder.resolve("digits.properties")), StandardCharsets.UTF_8);
        for (String[] change : new String[][] {
            {"format=1", "format=2", "format is '2' and must be one of 1"},
            {"task=classification", "", "task is missing"},
            {"image.height=8", "image.height=1e9", "image.height is '1e9', which is no whole number"},
            {"image.height=8", "image.height=0", "image.height is 0 and must lie between"},
            {"image.std=", "image.std=x", "which is no number"},
            {"image.mean=", "image.mean=1,", "image.mean has 2 numbers and must have 1"},
            {"image.crop_fraction=1.0", "image.crop_fraction=NaN", "which is not finite"},
            {"output=logits", "output=\\\\u00g1", ""},
        }) {
            Told.that(text.contains(change[0]), "there is no " + change[0]);
            String changed = text.replaceFirst("(?m)^" + change[0], change[1]);
            Told.that(!changed.equals(text), "nothing changed");
            if (change[2].isEmpty()) {
                try {
                    Metadata.read(new StringReader(changed), new StringReader(""));
                    throw new AssertionError("a damaged escape was read");
                } catch (IllegalArgumentException expected) {
                    continue; // Java's own words
                }
            }
            Told.argument(change[2], () -> Metadata.read(new StringReader(changed), new StringReader("")));
        }
        Told.argument("last line of the labels is cut off", () -> Metadata.read(new StringReader(text), new StringReader("0\n1")));
        String other = text.replace("image.height=8", "image.height=9");
        Metadata tall = Metadata.read(new StringReader(other), new StringReader(""));
        Told.argument("of images [1, 9, 8, 1], and the model takes float32 [1, 8, 8, 1]", () -> new Classifier(digits.model(), tall));
    }

    private static void pictures() {
        Told.argument("A picture of 0x5 pixels shows nothing", () -> Picture.of(new int[0], 0, 5));
        Told.argument("A picture of 5x-1 pixels", () -> Picture.of(new int[0], 5, -1));
        Told.argument("needs 20 of them, and there are 19", () -> Picture.of(new int[19], 5, 4));
        Told.argument("needs 1073741824 of them", () -> Picture.of(new int[0], 32768, 32768)); // 2^30
        Told.argument("is too large", () -> Picture.of(new int[0], 65536, 65536)); // 2^32, which is 0 as an int
        Picture picture = Picture.of(new int[20], 5, 4);
        Told.argument("not by 45", () -> picture.rotated(45));
        Told.argument("orientations 1 to 8, and this is 9", () -> picture.upright(9));
        Told.argument("was turned already", () -> picture.rotated(90).rotated(90));
        Picture turned = picture.rotated(90);
        Told.that(turned.width() == 4 && turned.height() == 5, "width and height change places");
        Told.that(picture.rotated(180).width() == 5 && picture.upright(0).width() == 5, "and others do not");
        try (Classifier classifier = new Classifier(digits.model(), digits.metadata())) {
            Told.argument("top must be at least 1", () -> classifier.classify(picture, 0));
            Told.that(classifier.classify(picture, 99).size() == 10, "all classes");
            // Alpha is dropped.
            int[] clear = DIGIT.clone();
            for (int i = 0; i < clear.length; i++) {
                clear[i] = DIGIT[i] & 0xFFFFFF | i << 24;
            }
            String solid = classifier.classify(DIGIT, 8, 8).toString();
            Told.that(classifier.classify(clear, 8, 8).toString().equals(solid), "alpha changed the answer");
            Told.that(!classifier.classify(Picture.of(DIGIT, 8, 8).rotated(90)).toString().equals(solid), "nothing was turned");
        }
    }

    private static void bitmaps() {
        ArrayBitmap bitmap = new ArrayBitmap(DIGIT, 8, 8, Bitmap.Config.ARGB_8888);
        bitmap.recycled = true;
        Told.argument("The bitmap is recycled", () -> Picture.of(bitmap));
        Told.argument("shows nothing", () -> Picture.of(new ArrayBitmap(null, 0, 0, Bitmap.Config.ARGB_8888)));
        Told.argument("is too large", () -> Picture.of(new ArrayBitmap(null, 46341, 46341, Bitmap.Config.ARGB_8888)));
        try (Classifier classifier = new Classifier(digits.model(), digits.metadata())) {
            // 64 million pixels, of which an array would not fit into this JVM's heap.
            Picture wide = Picture.of(new ArrayBitmap(null, 8_000_000, 8, Bitmap.Config.RGB_565));
            Picture grey = Picture.of(new ArrayBitmap(null, 8, 8, Bitmap.Config.ARGB_8888));
            Told.that(classifier.classify(wide).toString().equals(classifier.classify(grey).toString()), "a huge bitmap");
        }
    }

    private static void memory() {
        try (Segmenter segmenter = new Segmenter(nuclei.model(), nuclei.metadata())) {
            Picture huge = Picture.of(new ArrayBitmap(null, 40_000, 40_000, Bitmap.Config.ARGB_8888));
            Told.state("A mask of 40000x40000 pixels does not fit into memory", () -> segmenter.segment(huge));
            Segments found = segmenter.segment(Picture.of(DIGIT, 8, 8));
            Told.that(found.mask.length == 64, "works afterwards");
            Told.argument("is not in the picture of 8x8", () -> found.classAt(8, 0));
            Told.argument("Give the picture that was looked at", () -> found.overlay(huge));
        }
    }

    private static void wide() {
        try (Detector detector = new Detector(bccd.model(), bccd.metadata())) {
            Picture wide = Picture.of(new ArrayBitmap(null, 400_000_000, 1, Bitmap.Config.ARGB_8888));
            Told.state("There is no memory for a picture of 400000000x1 pixels", () -> detector.detect(wide));
            detector.detect(DIGIT, 8, 8);
        }
    }

    private static void options() {
        Told.argument("at least 1 thread, not 0", () -> new Options().threads(0));
        Told.argument("The number of threads must be 1 to 1024", () -> new Interpreter(digits.model(), new Options().threads(1025)));
        String usual = null;
        for (int threads = 1; threads <= 4; threads++) {
            Options options = new Options().threads(threads).lowMemory(threads == 3);
            try (Detector detector = new Detector(bccd.model(), bccd.metadata(), options, 0.01, 0.6)) {
                String found = detector.detect(DIGIT, 8, 8).toString();
                Told.that(usual == null || usual.equals(found), threads + " threads answer otherwise than 1");
                Told.that(found.length() > 100, "nothing was found that could differ");
                usual = found;
            }
        }
    }

    private static void about() {
        System.out.println(Interpreter.version() + " " + Interpreter.tensorFlowLite() + " " + Interpreter.kernels());
    }
}
