package larqnets;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.List;

/** What is done without a model, case by case: arguments are the file of cases and that of results, see test_app_pixels.py. */
final class Pixels {
    private final DataInputStream in;
    private final DataOutputStream out;

    private Pixels(DataInputStream in, DataOutputStream out) {
        this.in = in;
        this.out = out;
    }

    public static void main(String[] arguments) throws IOException {
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(Paths.get(arguments[0]))));
                DataOutputStream out =
                        new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(Paths.get(arguments[1]))))) {
            new Pixels(in, out).all();
        }
    }

    private void all() throws IOException {
        for (int i = in.readInt(); i > 0; i--) {
            switch (text()) {
                case "prepare":
                    prepare(metadata());
                    break;
                case "mask":
                    mask(metadata());
                    break;
                case "boxes":
                    boxes(metadata());
                    break;
                case "classes":
                    classes(metadata());
                    break;
                case "overlay":
                    overlay(metadata());
                    break;
                case "metadata":
                    told(metadata());
                    break;
                default:
                    throw new IOException("no such case");
            }
        }
    }

    private void prepare(Metadata metadata) throws IOException {
        Tensor input = tensor();
        Picture picture = picture();
        ByteBuffer buffer = input.allocate();
        new Preparation(metadata, input).prepare(picture, view(picture, metadata), buffer);
        byte[] values = new byte[input.bytes];
        buffer.get(values);
        bytes(values);
    }

    private void mask(Metadata metadata) throws IOException {
        Tensor output = tensor();
        byte[] stored = bytes();
        Picture picture = picture();
        bytes(segments(metadata, output, stored, picture).mask);
    }

    private void overlay(Metadata metadata) throws IOException {
        Tensor output = tensor();
        byte[] stored = bytes();
        Picture picture = picture();
        Segments segments = segments(metadata, output, stored, picture);
        int[] pixels = segments.overlay(picture);
        for (int pixel : pixels) {
            out.writeInt(pixel);
        }
        List<Share> shares = segments.shares();
        out.writeInt(shares.size());
        for (Share share : shares) {
            text(share.label);
            out.writeInt(share.number);
            out.writeDouble(share.share);
        }
    }

    private static Segments segments(Metadata metadata, Tensor output, byte[] stored, Picture picture) {
        View view = view(picture, metadata);
        byte[] mask = new byte[picture.width() * picture.height()];
        java.util.Arrays.fill(mask, (byte) Segments.OUTSIDE);
        boolean isMask = output.rank() == 3;
        float[] logits = isMask ? null : Values.real(output, ByteBuffer.wrap(stored).order(ByteOrder.LITTLE_ENDIAN));
        Segmenter.fill(mask, picture.width(), view, metadata, output, isMask ? stored : null, logits);
        return new Segments(mask, picture.width(), picture.height(), view, metadata.labels, metadata.colors);
    }

    private void boxes(Metadata metadata) throws IOException {
        float[] boxes = floats();
        float[] scores = floats();
        Picture picture = picture();
        int classes = scores.length * 4 / boxes.length;
        Suppression suppression = new Suppression(metadata.score, metadata.iou, metadata.maxPerClass, metadata.max);
        List<Box> found =
                Detector.found(boxes, scores, suppression, metadata.labels(classes), view(picture, metadata), metadata, picture);
        out.writeInt(found.size());
        for (Box box : found) {
            text(box.label);
            out.writeInt(box.number);
            for (float value : new float[] {box.score, box.left, box.top, box.right, box.bottom}) {
                out.writeFloat(value);
            }
        }
    }

    private void classes(Metadata metadata) throws IOException {
        float[] scores = floats();
        List<Answer> found = Classifier.best(scores, metadata.output, metadata.labels(scores.length), in.readInt());
        out.writeInt(found.size());
        for (Answer answer : found) {
            text(answer.label);
            out.writeInt(answer.number);
            out.writeFloat(answer.probability);
        }
    }

    private void told(Metadata metadata) throws IOException {
        text(metadata.source);
        out.writeInt(metadata.labels.size());
        for (String label : metadata.labels) {
            text(label);
        }
    }

    private static View view(Picture picture, Metadata metadata) {
        return new View(picture.height(), picture.width(), metadata);
    }

    private Metadata metadata() throws IOException {
        return Metadata.read(new StringReader(text()), new StringReader(text()));
    }

    private Tensor tensor() throws IOException {
        TensorType type = TensorType.valueOf(text());
        float scale = in.readFloat();
        int zeroPoint = in.readInt();
        int[] shape = new int[in.readInt()];
        int bytes = type.bytes;
        for (int i = 0; i < shape.length; i++) {
            shape[i] = in.readInt();
            bytes *= shape[i];
        }
        return new Tensor("tensor", type, shape, scale, zeroPoint, bytes);
    }

    private Picture picture() throws IOException {
        int width = in.readInt();
        int height = in.readInt();
        int orientation = in.readInt();
        int[] pixels = new int[width * height];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = in.readInt();
        }
        return Picture.of(pixels, width, height).upright(orientation);
    }

    private float[] floats() throws IOException {
        float[] values = new float[in.readInt()];
        for (int i = 0; i < values.length; i++) {
            values[i] = in.readFloat();
        }
        return values;
    }

    private String text() throws IOException {
        return new String(bytes(), StandardCharsets.UTF_8);
    }

    private byte[] bytes() throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }

    private void text(String text) throws IOException {
        bytes(text.getBytes(StandardCharsets.UTF_8));
    }

    private void bytes(byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }
}
