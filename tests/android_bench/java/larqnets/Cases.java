package larqnets;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.List;

/** Cases that come from Python in one file, and their results in another one, see java_cases.py. */
abstract class Cases implements Closeable {
    final DataInputStream in;
    final DataOutputStream out;

    Cases(String cases, String results) throws IOException {
        in = new DataInputStream(new BufferedInputStream(Files.newInputStream(Paths.get(cases))));
        out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(Paths.get(results))));
    }

    void all() throws IOException {
        for (int i = in.readInt(); i > 0; i--) {
            one(text());
        }
    }

    abstract void one(String kind) throws IOException;

    @Override
    public void close() throws IOException {
        in.close();
        out.close();
    }

    void boxes(List<Box> found) throws IOException {
        out.writeInt(found.size());
        for (Box box : found) {
            text(box.label);
            out.writeInt(box.number);
            for (float value : new float[] {box.score, box.left, box.top, box.right, box.bottom}) {
                out.writeFloat(value);
            }
        }
    }

    void answers(List<Answer> found) throws IOException {
        out.writeInt(found.size());
        for (Answer answer : found) {
            text(answer.label);
            out.writeInt(answer.number);
            out.writeFloat(answer.probability);
        }
    }

    Metadata metadata() throws IOException {
        return Metadata.read(new StringReader(text()), new StringReader(text()));
    }

    Tensor tensor() throws IOException {
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

    Picture picture() throws IOException {
        int width = in.readInt();
        int height = in.readInt();
        int orientation = in.readInt();
        return Picture.of(pixels(width * height), width, height).upright(orientation);
    }

    int[] pixels(int count) throws IOException {
        int[] pixels = new int[count];
        for (int i = 0; i < count; i++) {
            pixels[i] = in.readInt();
        }
        return pixels;
    }

    float[] floats() throws IOException {
        float[] values = new float[in.readInt()];
        for (int i = 0; i < values.length; i++) {
            values[i] = in.readFloat();
        }
        return values;
    }

    String text() throws IOException {
        return new String(bytes(), StandardCharsets.UTF_8);
    }

    byte[] bytes() throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }

    void text(String text) throws IOException {
        bytes(text.getBytes(StandardCharsets.UTF_8));
    }

    void bytes(byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }
}
